/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.h - a process the host knows by name: a container's first one, or an exec. From the child that builds it to
 * the answer to the last WAIT.
 *
 *     BUILDING ── READY ──► READY ── SYNC_START ──► STARTING ── end of file ──► RUNNING ──┐
 *         └───────────────────┴──────── reaped ────────┴──────────────────────────────────┴──► ENDED
 *
 * Processes are children of the agent and are reaped in one place (process_reaped). A container's first process stays
 * in READY until START; an exec goes on at once.
 */
#ifndef BULKHEAD_AGENT_PROCESS_H
#define BULKHEAD_AGENT_PROCESS_H

#include "guest-agent/message.h"

#include <stdbool.h>
#include <sys/types.h>

struct agent;
struct conn;
struct container;
struct err;
struct launch;
struct loop_watch;
struct namespace_plan;
struct reply;
struct stdio;

enum process_stage { PROCESS_BUILDING, PROCESS_READY, PROCESS_STARTING, PROCESS_RUNNING, PROCESS_ENDED };

struct process {
	struct process *next; /* of the container, newest first */
	struct container *container;
	char *exec; /* "" for the container's first */
	enum process_stage stage;
	pid_t pid; /* 0 before it exists */
	int pidfd;
	int sync_fd; /* until the exec */
	struct loop_watch *sync_watch;
	struct stdio *io;

	/* The decoded request, until the child is ready, and what of it describes the process. */
	const pb_msgdesc_t *request_fields;
	void *request;
	const agent_Process *description;

	struct reply *reply; /* to CREATE, EXEC or START, while one of them is going on */
	struct err *failure; /* why it is not going to become a process */
	struct reply *waits;
	struct conn *owner; /* of an exec, and of a container among others: it dies with this connection */
	bool was_waited_for;

	int wait_status; /* with ENDED */
	bool oom_killed;
	unsigned long long oom_kills_before;
};

/* Takes the request in any case. NULL when out of memory. */
struct process *process_create(struct container *container, const char *exec, const pb_msgdesc_t *fields, void *request,
			       const agent_Process *description);
void process_destroy(struct process *process);

/*
 * Starts the child; `launch` is completed with what belongs to the process. Its streams are pipes of uid and gid. If it
 * fails without a child (pid is 0) it may be tried again.
 */
int process_spawn(struct process *process, const struct namespace_plan *plan, struct launch *launch, unsigned uid,
		  unsigned gid, struct err *err);

/* Its maps are written and it is in its cgroup: let it build. */
int process_go(struct process *process, struct err *err);

/* READY: let it exec. The reply comes when it has, or could not. */
void process_start(struct process *process, struct reply *reply);

/* It cannot go on: kill it, and answer `process->reply` with this when it has gone. */
void process_fail(struct process *process, const struct err *err);

int process_signal(const struct process *process, int signal_number);

void process_wait(struct process *process, struct reply *reply);

/* waitpid(2) has returned it. The process may be freed, and its container. */
void process_reaped(struct process *process, int status);

/* An exec that nobody can ask for any more. */
bool process_is_forgettable(const struct process *process);

#endif
