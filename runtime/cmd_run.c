/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/attend.h"
#include "runtime/create.h"
#include "runtime/start.h"
#include "runtime/terminal.h"
#include "runtime/trace.h"

#include "common/auto.h"

#include "oci/config.h"

#include <unistd.h>

struct run_options {
	struct create_options create; /* first: CREATE_OPTIONS' offsets are from the beginning */
	bool detach, keep;
};

static const struct option options[] = {
	CREATE_OPTIONS,
	{ "detach", 'd', OPTION_FLAG, offsetof(struct run_options, detach), NULL, "do not wait for its end" },
	{ "keep", 0, OPTION_FLAG, offsetof(struct run_options, keep), NULL, "do not delete it after its end" },
	OPTION_END,
};

static int run(const struct invocation *invocation, struct err *err)
{
	const struct run_options *given = invocation->options;
	struct create_request request = {
		.globals = invocation->globals,
		.options = &given->create,
		.id = invocation->operands[0],
		.detached = given->detach,
	};
	auto_free char *text = NULL;
	struct created created;

	if (create_load_config(request.options, &request.config, &text, err) < 0)
		return -1;
	request.config_text = text;
	trace_mark("config parsed");
	if (!given->detach)
		terminal_follow_user(&request.config->process);
	int result = create_container(&request, &created, err);
	if (result == 0)
		result = given->detach ? leave_container(&created, err)
				       : attend_container(&created, given->keep, 0, err);
	oci_config_destroy(request.config);
	return result;
}

const struct command cmd_run = {
	.name = "run",
	.operands = "ID",
	.summary = "create and start a container, wait for its end and delete it",
	.run = run,
	.options = options,
	.options_size = sizeof(struct run_options),
	.operands_min = 1,
	.operands_max = 1,
};
