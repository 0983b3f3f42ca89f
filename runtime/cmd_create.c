/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/create.h"
#include "runtime/trace.h"

#include "common/auto.h"

#include "oci/config.h"

static const struct option options[] = { CREATE_OPTIONS, OPTION_END };

static int run(const struct invocation *invocation, struct err *err)
{
	struct create_request request = {
		.globals = invocation->globals,
		.options = invocation->options,
		.id = invocation->operands[0],
		.detached = true,
	};
	auto_free char *text = NULL;
	struct created created;

	if (create_load_config(request.options, &request.config, &text, err) < 0)
		return -1;
	request.config_text = text;
	trace_mark("config parsed");
	int result = create_container(&request, &created, err);
	if (result == 0)
		created_close(&created);
	oci_config_destroy(request.config);
	return result;
}

const struct command cmd_create = {
	.name = "create",
	.operands = "ID",
	.summary = "make a container, up to just before its process runs",
	.run = run,
	.options = options,
	.options_size = sizeof(struct create_options),
	.operands_min = 1,
	.operands_max = 1,
};
