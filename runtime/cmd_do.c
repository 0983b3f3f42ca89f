/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_do.c - runs a command in a VM over a read-only view of this host's root, with a writable layer that is thrown
 * away: the shortest way to run something one does not trust. What it changes is gone; what it may see is everything
 * the caller can read, and there is no network.
 */
#include "runtime/attend.h"
#include "runtime/create.h"
#include "runtime/do_config.h"
#include "runtime/terminal.h"
#include "runtime/trace.h"

#include "common/auto.h"
#include "common/err.h"

#include "oci/alloc.h"
#include "oci/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct do_options {
	struct create_options create; /* all empty */
	const char *memory, *network;
	struct option_number cpus, timeout;
};

static const struct option options[] = {
	{ "memory", 'm', OPTION_TEXT, offsetof(struct do_options, memory), "SIZE", "of the VM: MiB, or with k, m, g" },
	{ "cpus", 0, OPTION_NUMBER, offsetof(struct do_options, cpus), "N", "of the VM" },
	{ "network", 0, OPTION_TEXT, offsetof(struct do_options, network), "none", "there is no other yet" },
	{ "timeout", 0, OPTION_NUMBER, offsetof(struct do_options, timeout), "SECONDS",
	  "end it then, with exit status 124" },
	OPTION_END,
};

/* "512", "512m", "1g" as a number of MiB; NULL with the error set. */
static char *memory_mib(const char *text, struct err *err)
{
	char *end;

	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (*end == 'k' || *end == 'K')
		value /= 1024;
	else if (*end == 'g' || *end == 'G')
		value = value > 1u << 20 ? 0 : value * 1024;
	else if (*end && *end != 'm' && *end != 'M')
		end = NULL;
	if (errno || !end || *text == '-' || (*end && end[1]) || value == 0 || value > 1u << 30) {
		err_set(err, EINVAL, "--memory: \"%s\" is not a size such as 512, 512m or 1g", text);
		return NULL;
	}
	return oci_format("%llu", value);
}

static int check(const struct do_options *given, struct err *err)
{
	if (given->network && strcmp(given->network, "none") != 0)
		return err_set(err, ENOTSUP, "--network %s: only none is supported", given->network);
	if (given->timeout.given && (given->timeout.value < 1 || given->timeout.value > 1 << 30))
		return err_set(err, EINVAL, "--timeout: %lld is not a number of seconds", given->timeout.value);
	return 0;
}

static int load(const struct invocation *invocation, struct oci_config **config, char **text, struct err *err)
{
	const struct do_options *given = invocation->options;
	auto_free char *memory = NULL;
	auto_free char *vcpus = given->cpus.given ? oci_format("%lld", given->cpus.value) : NULL;

	if (given->memory) {
		memory = memory_mib(given->memory, err);
		if (!memory)
			return -1;
	}
	struct do_settings settings = {
		.args = invocation->operands,
		.arg_count = invocation->operand_count,
		.memory_mib = memory,
		.vcpus = vcpus,
		.terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO),
	};
	*text = do_config_text(&settings, err);
	if (!*text)
		return -1;
	return oci_config_parse("/", *text, strlen(*text), config, err);
}

static int run(const struct invocation *invocation, struct err *err)
{
	const struct do_options *given = invocation->options;
	auto_free char *id = oci_format("do-%d", (int)getpid());
	auto_free char *text = NULL;
	struct create_request request = {
		.globals = invocation->globals,
		.options = &given->create,
		.id = id,
		.root_overlay = true,
	};
	struct created created;

	if (check(given, err) < 0 || load(invocation, &request.config, &text, err) < 0)
		return -1;
	request.config_text = text;
	trace_mark("config parsed");
	terminal_follow_user(&request.config->process);
	int result = create_container(&request, &created, err);
	if (result == 0)
		result = attend_container(&created, false, given->timeout.given ? (int)given->timeout.value : 0, err);
	oci_config_destroy(request.config);
	return result;
}

const struct command cmd_do = {
	.name = "do",
	.operands = "[--] COMMAND [ARGUMENT...]",
	.summary = "run a command in a VM over this system, and forget what it changed",
	.run = run,
	.options = options,
	.options_size = sizeof(struct do_options),
	.operands_min = 1,
	.operands_max = -1,
	.stops_at_operand = true,
};
