/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/command.h"
#include "runtime/container.h"

#include "common/auto.h"

static int run(const struct invocation *invocation, struct err *err)
{
	struct container container;
	int result = container_open(&container, invocation->globals, invocation->operands[0], false, err);

	if (result == 0) {
		auto_free char *text = container_state_text(&container, container.status, true);

		puts(text);
	}
	container_close(&container);
	return result;
}

const struct command cmd_state = {
	.name = "state",
	.operands = "ID",
	.summary = "print a container's state as JSON",
	.run = run,
	.operands_min = 1,
	.operands_max = 1,
};
