/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_debug.c - a shell in a container's VM, beside the container: root of the guest with every right, in the guest's
 * own namespaces. It sees the container's files, in a copy of its mounts, and the guest's processes, network and kernel
 * log.
 *
 * The program comes from the container's image, so whoever made that gets the guest's kernel, though nothing of the
 * host; therefore the host's configuration has to allow it.
 */
#include "runtime/command.h"
#include "runtime/exec.h"

#include "common/err.h"

#include "oci/host_config.h"

#include <errno.h>
#include <unistd.h>

static int check_allowed(struct err *err)
{
	struct oci_host_config *host = NULL;

	if (oci_host_config_load(OCI_HOST_CONFIG_FILE, &host, err) < 0)
		return -1;
	bool allowed = host->allow_debug;
	oci_host_config_destroy(host);
	return allowed ? 0
		       : err_set(err, EPERM, "not allowed on this host; \"allow_debug\": true in %s allows it",
				 OCI_HOST_CONFIG_FILE);
}

static int run(const struct invocation *invocation, struct err *err)
{
	static char program[] = "/bin/sh", *shell[] = { program };
	struct exec_options options = {
		.debug = true,
		.tty = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO),
	};
	int count = invocation->operand_count - 1;
	int result = check_allowed(err);

	if (result == 0)
		result = exec_run(invocation->globals, invocation->operands[0], &options, count ? count : 1,
				  count ? invocation->operands + 1 : shell, err);
	return result < 0 ? err_wrap(err, "debug") : result;
}

const struct command cmd_debug = {
	.name = "debug",
	.operands = "ID [COMMAND [ARGUMENT...]]",
	.summary = "run a shell in a container's VM, beside the container",
	.run = run,
	.operands_min = 1,
	.operands_max = -1,
	.stops_at_operand = true,
	.failure_status = 255,
};
