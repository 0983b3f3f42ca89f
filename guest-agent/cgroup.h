/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.h - the cgroup (v2) of a container: its limits, and the way to find, freeze and kill all of its processes.
 *
 * Containers are children of the guest's root cgroup, where the agent itself stays. The descriptors are the agent's;
 * nothing here looks at the container's own view of the tree.
 */
#ifndef BULKHEAD_AGENT_CGROUP_H
#define BULKHEAD_AGENT_CGROUP_H

#include "guest-agent/message.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

enum { CGROUP_NAME_MAX = 256 };

struct cgroup {
	int parent_fd; /* of the tree's root; not owned */
	int dir_fd;
	int events_fd; /* cgroup.events: EPOLLPRI tells of a change, until it is read */
	char name[CGROUP_NAME_MAX];
};

#define CGROUP_EMPTY                                           \
	{                                                      \
		.parent_fd = -1, .dir_fd = -1, .events_fd = -1 \
	}

/* Once for the tree: every controller the kernel has for the children. */
int cgroup_enable_controllers(int root_fd, struct err *err);

/* cgroup_destroy closes the descriptors, and removes nothing. */
int cgroup_create(struct cgroup *cgroup, int root_fd, const char *container, struct err *err);
void cgroup_destroy(struct cgroup *cgroup);

/* Removes the cgroup and those the container made in it. -1 with EBUSY while a process is left. */
int cgroup_remove(struct cgroup *cgroup);

/* What lets uid and gid manage the tree below (cgroup v2, "Delegation"), for a container with a user namespace. */
int cgroup_delegate(const struct cgroup *cgroup, unsigned uid, unsigned gid, struct err *err);

/* Files in this order; the failing one is named. */
int cgroup_write_files(const struct cgroup *cgroup, const agent_FileValue *files, size_t count, struct err *err);
int cgroup_add(const struct cgroup *cgroup, pid_t pid);
int cgroup_freeze(const struct cgroup *cgroup, bool frozen);
int cgroup_kill(const struct cgroup *cgroup);

struct cgroup_events {
	bool populated, frozen;
};
int cgroup_read_events(const struct cgroup *cgroup, struct cgroup_events *events);

/* Calls for each process, also those in sub-cgroups. */
typedef void cgroup_process(void *arg, pid_t pid);
int cgroup_processes(const struct cgroup *cgroup, cgroup_process *callback, void *arg);

/*
 * O_DIRECTORY descriptor of a sub-cgroup, or of the cgroup itself for "" and "/". With `make` one right below is made
 * if it is missing. -1 with errno.
 */
int cgroup_open_sub(const struct cgroup *cgroup, const char *path, bool make);

/* Of memory.events; 0 if memory is not accounted. */
uint64_t cgroup_oom_kills(const struct cgroup *cgroup);

/* Fills in all of it; memory_stat is allocated as nanopb does, for pb_release. */
void cgroup_read_stats(const struct cgroup *cgroup, agent_StatsReply *stats);

#endif
