/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/suspend.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/sandbox_regs.h"
#include "guest-agent/agent.h"
#include "guest-agent/container.h"
#include "guest-agent/errtext.h"
#include "guest-agent/files.h"
#include "guest-agent/identity.h"
#include "guest-agent/net.h"
#include "guest-agent/power.h"
#include "guest-agent/process.h"
#include "guest-agent/reply.h"
#include "guest-agent/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void for_streams(const struct container *container, void (*act)(struct stdio *io))
{
	for (struct process *process = container->processes; process; process = process->next)
		act(process->io);
}

/* Everything as it was, if it has not ended meanwhile. */
static void let_go(struct container *container)
{
	const char *refusal;

	for_streams(container, stdio_resume);
	if (life_next(container->state, LIFE_RELEASE, &container->state, &refusal) &&
	    cgroup_freeze(&container->cgroup, false) < 0)
		log_warn("thawing container %s: %s", container->id, strerror(errno));
}

void suspend_container(struct agent *agent, const char *id, struct reply *reply)
{
	struct container *container = container_find(agent, id, reply);
	struct err err = ERR_INIT;

	if (!container)
		return;
	if (agent->containers->next) {
		err_set(&err, ENOTSUP, "several containers share this virtual machine: they cannot be checkpointed");
		reply_error(reply, &err);
		return;
	}
	if (!container_advance(container, LIFE_SUSPEND, reply))
		return;
	if (cgroup_freeze(&container->cgroup, true) < 0) {
		errtext_set(&err, "freezing the container");
		reply_error(reply, &err);
		let_go(container);
		return;
	}
	agent->suspender = reply->conn;
	reply_push(&container->suspends, reply);
	container_settle(container);
}

/*
 * To the host's files what the guest still has of them, so that image and files fit together. And names that nobody has
 * open are forgotten: they need not be found again where the copy is.
 */
static void put_files_in_order(const struct agent *agent)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/shares", agent->run_dir);
	auto_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && syncfs(fd) < 0)
		log_warn("writing back the shares: %s", strerror(errno));
	(void)file_write_at(AT_FDCWD, "/proc/sys/vm/drop_caches", "2");
}

void suspend_settled(struct container *container)
{
	if (!container->suspends)
		return;
	for_streams(container, stdio_suspend);
#ifndef AGENT_TEST
	put_files_in_order(container->agent);
#else
	(void)put_files_in_order;
#endif
	reply_all_ok(&container->suspends);
}

void suspend_release(struct agent *agent, const char *id, struct reply *reply)
{
	struct container *container = container_find(agent, id, reply);

	if (!container)
		return;
	/* One that was killed meanwhile is released as well. */
	agent->suspender = NULL;
	let_go(container);
	reply_ok(reply);
}

/* This guest is a copy: nothing of the container runs until it is adopted and started. */
static void begin_again(struct agent *agent, struct container *container)
{
	for_streams(container, stdio_detach);
	container->is_copy = true;
	power_stamp(agent, SANDBOX_STAMP_AGENT_READY);
}

void suspend_connection_closed(struct agent *agent, const struct conn *conn)
{
	struct container *container = agent->containers;
	struct err err = ERR_INIT;

	if (agent->suspender != conn)
		return;
	agent->suspender = NULL;
	int is_new = identity_renew(agent, &err);
	if (is_new < 0)
		power_off_failed(agent, &err);
	if (!container)
		return;
	reply_drop(&container->suspends, NULL);
	if (is_new)
		begin_again(agent, container);
	else
		let_go(container);
}

static int take_on(struct container *container, const agent_AdoptRequest *request, struct err *err)
{
	struct agent *agent = container->agent;
	const struct process *first = container_first_process(container);
	char *id = strdup(request->id);

	if (!id)
		return err_set(err, ENOMEM, "out of memory");
	free(container->id);
	container->id = id;
	net_forget_all(agent);
	if (!first || first->pidfd < 0)
		return err_set(err, ESRCH, "the container's process has ended");
	if (container->namespaces & CLONE_NEWUTS && identity_set_names(first->pidfd, message_text(request->hostname),
								       message_text(request->domainname), err) < 0)
		return -1;
	if (identity_cover_ids(agent, first->pidfd, request->new_machine_id, err) < 0)
		return -1;
	return cgroup_write_files(&container->cgroup, request->cgroup_files, request->cgroup_files_count, err);
}

void suspend_adopt(struct agent *agent, const agent_AdoptRequest *request, struct reply *reply)
{
	struct container *container = agent->containers;
	struct err err = ERR_INIT;

	if (!container || !container->is_copy) {
		err_set(&err, EINVAL, "this virtual machine is no copy that waits for its container");
		reply_error(reply, &err);
		return;
	}
	if (!container_advance(container, LIFE_ADOPT, reply))
		return;
	container->is_copy = false;
	if (take_on(container, request, &err) < 0) {
		reply_error(reply, &err);
		return;
	}
	const agent_ProcessReply adopted = { .pid = container_first_process(container)->pid };
	reply_message(reply, agent_ProcessReply_fields, &adopted);
}

void suspend_start(struct container *container, int64_t realtime_ns, struct reply *reply)
{
	const char *refusal;
	struct err err = ERR_INIT;

	if (realtime_ns > 0 && identity_set_clock(realtime_ns, &err) < 0)
		log_warn("%s", err.text);
	if (cgroup_freeze(&container->cgroup, false) < 0) {
		errtext_set(&err, "thawing the container");
		reply_error(reply, &err);
		return;
	}
	life_next(container->state, LIFE_STARTED, &container->state, &refusal);
	reply_ok(reply);
}
