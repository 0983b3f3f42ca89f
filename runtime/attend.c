/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/attend.h"

#include "runtime/create.h"
#include "runtime/foreground.h"
#include "runtime/start.h"
#include "runtime/statedir.h"
#include "runtime/trace.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include <sys/file.h>

/* Somebody may have deleted it meanwhile, and even made another of that name: then the directory is not ours. */
static void remove_container(struct container *container)
{
	struct err err = ERR_INIT;

	if (statedir_lock(container->dirfd, container->id, &err) < 0) {
		log_warn("%s", err.text);
		return;
	}
	if (!statedir_is_current(container->root, container->id, container->dirfd))
		return;
	if (container_destroy(container, &err) < 0)
		log_warn("%s", err.text);
}

int attend_container(struct created *created, bool keep, int timeout_seconds, struct err *err)
{
	if (start_container(&created->container, err) < 0) {
		created_destroy(created);
		return -1;
	}
	/* Others may work on it while it runs. */
	flock(created->container.dirfd, LOCK_UN);
	struct foreground foreground = {
		.pid = created->pid,
		.sync_fd = created->sync_fd,
		.master_fd = take_fd(&created->terminal.master),
		.timeout_seconds = timeout_seconds,
	};
	int status = foreground_wait(&foreground, err);
	trace_mark("process ended");
	if (!keep)
		remove_container(&created->container);
	created_close(created);
	return status;
}

int leave_container(struct created *created, struct err *err)
{
	if (start_container(&created->container, err) < 0) {
		created_destroy(created);
		return -1;
	}
	created_close(created);
	return 0;
}
