/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container.h - the containers of this VM: what the host asks for by a container's id.
 *
 * Each function answers `reply`, now or when it is done. Life cycle: life.h. A container is forgotten when DELETE is
 * answered, or the failure of its CREATE: then its processes are reaped, its cgroup is removed, and with its last
 * process its mounts went away.
 */
#ifndef BULKHEAD_AGENT_CONTAINER_H
#define BULKHEAD_AGENT_CONTAINER_H

#include "guest-agent/cgroup.h"
#include "guest-agent/life.h"
#include "guest-agent/message.h"

#include <stdbool.h>
#include <stdint.h>

struct agent;
struct conn;
struct err;
struct loop_watch;
struct process;
struct reply;

struct container {
	struct container *next;
	struct agent *agent;
	char *id;
	enum life_state state;
	struct cgroup cgroup;
	struct loop_watch *cgroup_watch;
	struct process *processes; /* newest first; the container's own is the last */
	uint64_t namespaces;       /* CLONE_NEW*: which of them are not the guest's */
	agent_IdMapping *uid_mappings, *gid_mappings;
	size_t uid_mapping_count, gid_mapping_count;

	uint64_t huge_bytes; /* its limit of huge pages, which are in the guest's pool for it */

	char **shares; /* names */
	size_t share_count;

	bool is_doomed;        /* its CREATE failed */
	bool has_nodes;        /* device_nodes.h */
	bool is_copy;          /* in a copy of its VM, not adopted yet: suspend.h */
	struct reply *freezes; /* until the kernel says it is done */
	struct reply *suspends;
	struct reply *deletes;
	struct reply *oom_waits;
	int oom_fd; /* memory.events, while somebody asked */
	struct loop_watch *oom_watch;
	uint64_t oom_kills_told;
};

/* These take the decoded request. */
void container_create(struct agent *agent, agent_CreateRequest *request, struct reply *reply);
void container_exec(struct agent *agent, agent_ExecRequest *request, struct reply *reply);

void container_start(struct agent *agent, const char *id, int64_t realtime_ns, struct reply *reply);
void container_kill(struct agent *agent, const agent_KillRequest *request, struct reply *reply);
void container_freeze(struct agent *agent, const char *id, bool frozen, struct reply *reply);
void container_update(struct agent *agent, const agent_UpdateRequest *request, struct reply *reply);
void container_delete(struct agent *agent, const char *id, struct reply *reply);
void container_wait_oom(struct agent *agent, const char *id, struct reply *reply);

/* NULL, and the reply answered, if there is no such container or process. */
struct container *container_find(struct agent *agent, const char *id, struct reply *reply);
struct process *container_find_process(struct agent *agent, const char *id, const char *exec, struct reply *reply);

/* The child with this pid was reaped. Not one of ours, but an orphan: nothing happens. */
void container_reaped(struct agent *agent, int pid, int status);

/* For suspend.c. container_advance: false is refused, and the reply answered. container_settle may free it. */
struct process *container_first_process(const struct container *container);
bool container_advance(struct container *container, enum life_event event, struct reply *reply);
void container_settle(struct container *container);

/* From process.c. */
int container_process_ready(struct process *process, struct err *err);
void container_process_started(struct process *process);
void container_process_ended(struct process *process);

/* Nobody there any more to answer; the execs that belong to the connection are killed. */
void container_connection_closed(struct agent *agent, const struct conn *conn);

/* Before powering off: every process of every container. */
void container_kill_everything(struct agent *agent);

#endif
