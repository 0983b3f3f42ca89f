/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/process.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/loop.h"
#include "guest-agent/agent.h"
#include "guest-agent/common_mounts.h"
#include "guest-agent/container.h"
#include "guest-agent/errtext.h"
#include "guest-agent/kernel.h"
#include "guest-agent/launch.h"
#include "guest-agent/limits.h"
#include "guest-agent/namespaces.h"
#include "guest-agent/reply.h"
#include "guest-agent/stdio.h"
#include "guest-agent/sync.h"

#include <assert.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>

struct process *process_create(struct container *container, const char *exec, const pb_msgdesc_t *fields, void *request,
			       const agent_Process *description)
{
	struct process *process = calloc(1, sizeof *process);

	if (!process) {
		message_free(fields, request);
		return NULL;
	}
	*process = (struct process){
		.container = container,
		.pidfd = -1,
		.sync_fd = -1,
		.request_fields = fields,
		.request = request,
		.description = description,
	};
	process->exec = strdup(exec);
	process->io = stdio_create(container->agent->loop);
	if (!process->exec || !process->io) {
		process_destroy(process);
		return NULL;
	}
	return process;
}

static void forget_request(struct process *process)
{
	if (process->request)
		message_free(process->request_fields, process->request);
	process->request = NULL;
	process->description = NULL;
}

static void close_sync(struct process *process)
{
	loop_remove(process->container->agent->loop, process->sync_watch);
	process->sync_watch = NULL;
	close_fd(&process->sync_fd);
}

void process_destroy(struct process *process)
{
	if (!process)
		return;
	forget_request(process);
	close_sync(process);
	close_fd(&process->pidfd);
	stdio_destroy(process->io);
	free(process->reply);
	free(process->failure);
	reply_drop(&process->waits, NULL);
	free(process->exec);
	free(process);
}

static void sync_readable(void *arg, uint32_t events);

static void close_streams(struct launch *launch)
{
	for (int i = 0; i < launch->stream_count; i++)
		close_fd(&launch->streams[i]);
}

/* An exec has no mounts of its own, and so none. */
static int add_notify(struct process *process, const struct launch *launch, struct err *err)
{
	char path[PATH_MAX];

	if (!launch->container || !common_mounts_notify_path(launch->run_dir, launch->container, path))
		return 0;
	return stdio_add_notify(process->io, path, err);
}

static int make_streams(struct process *process, struct launch *launch, unsigned uid, unsigned gid, struct err *err)
{
	const agent_Process *description = launch->process;

	for (int i = 0; i < STDIO_MAX; i++)
		launch->streams[i] = -1;
	launch->stream_count = 3 + (int)description->more_streams_count;
	if (!description->terminal && stdio_make_pipes(process->io, uid, gid, launch->streams, err) < 0)
		return -1;
	if (stdio_make_more(process->io, description->more_streams, description->more_streams_count, uid, gid,
			    launch->streams + 3, err) < 0 ||
	    add_notify(process, launch, err) < 0) {
		close_streams(launch);
		return -1;
	}
	return 0;
}

int process_spawn(struct process *process, const struct namespace_plan *plan, struct launch *launch, unsigned uid,
		  unsigned gid, struct err *err)
{
	struct loop *loop = process->container->agent->loop;
	int pair[2];

	if (sync_create(pair) < 0)
		return errtext_set(err, "creating the container's process");
	process->sync_fd = pair[0];
	auto_fd int child_fd = pair[1];
	if (make_streams(process, launch, uid, gid, err) < 0)
		return -1;
	launch->sync_fd = child_fd;
	process->oom_kills_before = cgroup_oom_kills(&process->container->cgroup);
	process->pid = namespaces_spawn(plan, launch_main, launch, err);
	close_streams(launch);
	if (process->pid < 0) {
		process->pid = 0;
		close_sync(process);
		return -1;
	}
	/* Our child, and not reaped before we say so: the number cannot mean another process. */
	process->pidfd = kernel_pidfd_open(process->pid);
	process->sync_watch = loop_add_fd(loop, process->sync_fd, EPOLLIN, sync_readable, process);
	if (process->pidfd < 0 || !process->sync_watch)
		return errtext_set(err, "watching the container's process");
	return 0;
}

int process_go(struct process *process, struct err *err)
{
	if (sync_send(process->sync_fd, SYNC_GO, NULL, -1) < 0)
		return errtext_set(err, "the container's process");
	return 0;
}

void process_start(struct process *process, struct reply *reply)
{
	struct err err = ERR_INIT;

	assert(process->stage == PROCESS_READY && !process->reply);
	process->stage = PROCESS_STARTING;
	process->reply = reply;
	if (sync_send(process->sync_fd, SYNC_START, NULL, -1) < 0) {
		errtext_set(&err, "the container's process");
		process_fail(process, &err);
	}
}

void process_fail(struct process *process, const struct err *err)
{
	if (!process->failure) {
		process->failure = malloc(sizeof *process->failure);
		if (process->failure)
			*process->failure = *err;
	}
	process_signal(process, SIGKILL);
}

int process_signal(const struct process *process, int signal_number)
{
	if (process->pidfd < 0 || process->stage == PROCESS_ENDED) {
		errno = ESRCH;
		return -1;
	}
	return kernel_pidfd_send_signal(process->pidfd, signal_number);
}

/* The child has built all and waits before its exec. */
static void became_ready(struct process *process)
{
	struct err err = ERR_INIT;

	if (limits_apply(process->pid, process->description, &err) < 0 || container_process_ready(process, &err) < 0) {
		process_fail(process, &err);
		return;
	}
	process->stage = PROCESS_READY;
	forget_request(process);
	const agent_ProcessReply ready = { .pid = process->pid };
	if (!process->exec[0]) {
		reply_message(process->reply, agent_ProcessReply_fields, &ready);
		process->reply = NULL;
	} else {
		struct reply *reply = process->reply;

		process->reply = NULL;
		process_start(process, reply);
	}
}

/* End of file without a word: the exec closed the socket. Or the child is dying; then process_reaped follows. */
static void exec_succeeded(struct process *process)
{
	const agent_ProcessReply started = { .pid = process->pid };

	process->stage = PROCESS_RUNNING;
	if (process->exec[0]) {
		reply_message(process->reply, agent_ProcessReply_fields, &started);
	} else {
		container_process_started(process);
		reply_ok(process->reply);
	}
	process->reply = NULL;
}

/* One message of the child. False when there is none now. */
static bool handle_sync(struct process *process)
{
	struct sync_message message;
	int fd;
	int ret = sync_receive(process->sync_fd, &message, &fd);

	if (ret < 0 && (errno == EAGAIN || errno == EINTR))
		return errno == EINTR;
	if (ret <= 0) {
		close_sync(process);
		if (process->stage == PROCESS_STARTING && !process->failure)
			exec_succeeded(process);
		return false;
	}
	if (message.kind == SYNC_READY && process->stage == PROCESS_BUILDING) {
		if (fd >= 0)
			stdio_set_terminal(process->io, fd);
		became_ready(process);
		return true;
	}
	close_fd(&fd);
	if (message.kind == SYNC_FAILED)
		process_fail(process, &message.err);
	return true;
}

static void sync_readable(void *arg, uint32_t events)
{
	(void)events;
	handle_sync(arg);
}

static void answer_wait(const struct process *process, struct reply *reply)
{
	const agent_WaitReply message = {
		/* Without the core dump flag, which nobody needs and which is not part of the number. */
		.wait_status = WIFSIGNALED(process->wait_status) ? (uint32_t)WTERMSIG(process->wait_status)
								 : (uint32_t)process->wait_status & 0xff00,
		.oom_killed = process->oom_killed,
	};

	reply_message(reply, agent_WaitReply_fields, &message);
}

void process_wait(struct process *process, struct reply *reply)
{
	/* Whoever waits for an exec is who it belongs to. */
	if (process->exec[0])
		process->owner = reply->conn;
	if (process->stage == PROCESS_ENDED) {
		process->was_waited_for = true;
		answer_wait(process, reply);
	} else {
		reply_push(&process->waits, reply);
	}
}

static void note_end(struct process *process, int status)
{
	bool happened = cgroup_oom_kills(&process->container->cgroup) > process->oom_kills_before;
	bool was_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;

	process->stage = PROCESS_ENDED;
	process->wait_status = status;
	/* Of a container that lost any of its processes this way engines say that it was out of memory. */
	process->oom_killed = happened && (was_killed || !process->exec[0]);
	close_fd(&process->pidfd);
	stdio_process_ended(process->io);
}

void process_reaped(struct process *process, int status)
{
	struct err early = ERR_INIT;

	/* What the child said before it ended comes first: the reason of a failure, or the success of the exec. */
	while (process->sync_fd >= 0 && process->stage != PROCESS_BUILDING && handle_sync(process))
		;
	while (process->sync_fd >= 0 && process->stage == PROCESS_BUILDING && !process->failure) {
		struct sync_message message;
		int fd;
		int ret = sync_receive(process->sync_fd, &message, &fd);

		if (ret < 0 && errno == EINTR)
			continue;
		if (ret <= 0)
			break;
		close_fd(&fd);
		if (message.kind == SYNC_FAILED)
			process_fail(process, &message.err);
	}
	if (process->stage == PROCESS_BUILDING && !process->failure) {
		err_set(&early, ECHILD, "the process ended while it was being made (%s %d)",
			WIFSIGNALED(status) ? "signal" : "exit status",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		process_fail(process, &early);
	}
	close_sync(process);
	note_end(process, status);
	process->was_waited_for = process->waits != NULL;
	while (process->waits) {
		struct reply *reply = process->waits;

		process->waits = reply->next;
		answer_wait(process, reply);
	}
	container_process_ended(process);
}

bool process_is_forgettable(const struct process *process)
{
	if (!process->exec[0] || process->stage != PROCESS_ENDED)
		return false;
	if (!process->owner)
		return !stdio_is_busy(process->io);
	return process->was_waited_for && stdio_is_delivered(process->io);
}
