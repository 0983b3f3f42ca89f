/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/command.h"
#include "runtime/container.h"
#include "runtime/network.h"
#include "runtime/start.h"

#include <unistd.h>

static int run(const struct invocation *invocation, struct err *err)
{
	struct container container;
	int result = container_open_for(&container, invocation->globals, invocation->operands[0], LIFECYCLE_START, err);

	/* Podman's user sees what `start` says, and in the log what `create` said. */
	if (result == 0 && oci_map_get(&container.store->extra, NETWORK_NONE))
		network_tell_of_none(STDERR_FILENO, false);
	if (result == 0)
		result = start_container(&container, err);
	container_close(&container);
	return result;
}

const struct command cmd_start = {
	.name = "start",
	.operands = "ID",
	.summary = "run the process of a created container",
	.run = run,
	.operands_min = 1,
	.operands_max = 1,
};
