/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/command.h"
#include "runtime/container.h"
#include "runtime/host_cgroup.h"
#include "runtime/statedir.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include <errno.h>
#include <signal.h>
#include <sys/pidfd.h>

struct delete_options {
	bool force, regex;
};

static const struct option options[] = {
	{ "force", 'f', OPTION_FLAG, offsetof(struct delete_options, force), NULL,
	  "kill it first if it runs; no error if there is none" },
	{ "regex", 0, OPTION_FLAG, offsetof(struct delete_options, regex), NULL,
	  "every container whose id matches this extended regular expression" },
	OPTION_END,
};

/* A `create` that is at work holds the lock. Without its proxy it fails, cleans up and lets go. */
static void stop_creation(const struct globals *globals, const char *id)
{
	struct err ignored = ERR_INIT;
	struct container container;

	if (container_open(&container, globals, id, false, &ignored) == 0 && container.status == OCI_STATUS_CREATING) {
		auto_fd int proxy = container_open_process(container.store->pid, container.store->pid_start);

		if (proxy >= 0)
			pidfd_send_signal(proxy, SIGKILL, NULL, 0);
	}
	container_close(&container);
}

/* However little of it there is, and whatever its record looks like. */
static int delete_by_force(const struct globals *globals, const char *id, struct err *err)
{
	struct container container;
	struct err why = ERR_INIT;

	if (oci_id_check(id, err) < 0)
		return -1;
	stop_creation(globals, id);
	int result = container_open(&container, globals, id, true, &why);
	if (container.dirfd < 0) {
		container_close(&container);
		return why.code == ENOENT ? 0 : err_set(err, why.code, "%s", why.text);
	}
	if (result < 0)
		log_debug("%s", why.text);
	else if (container.status == OCI_STATUS_RUNNING || container.status == OCI_STATUS_PAUSED)
		container_stop(&container);
	result = container_destroy(&container, err);
	container_close(&container);
	return result;
}

static int delete_one(const struct globals *globals, const char *id, bool force, struct err *err)
{
	struct container container;

	if (force)
		return delete_by_force(globals, id, err);
	int result = container_open_for(&container, globals, id, LIFECYCLE_DELETE, err);
	if (result == 0)
		result = container_destroy(&container, err);
	container_close(&container);
	return result;
}

struct matching {
	const struct globals *globals;
	bool force;
	struct err *err;
};

/* One that cannot be deleted keeps no other; the first error is reported. */
static int delete_match(const char *id, void *arg)
{
	const struct matching *matching = arg;
	struct err err = ERR_INIT;

	if (delete_one(matching->globals, id, matching->force, &err) < 0) {
		if (matching->err->code)
			log_error("%s", err.text);
		else
			*matching->err = err;
	}
	return 0;
}

static int run(const struct invocation *invocation, struct err *err)
{
	const struct delete_options *given = invocation->options;
	const char *operand = invocation->operands[0];
	struct matching matching = { invocation->globals, given->force, err };

	if (!given->regex)
		return delete_one(invocation->globals, operand, given->force, err);
	if (statedir_each_match(invocation->globals->root, operand, delete_match, &matching, err) < 0)
		return -1;
	return err->code ? -1 : 0;
}

const struct command cmd_delete = {
	.name = "delete",
	.operands = "ID",
	.summary = "remove what is left of a container",
	.run = run,
	.options = options,
	.options_size = sizeof(struct delete_options),
	.operands_min = 1,
	.operands_max = 1,
};
