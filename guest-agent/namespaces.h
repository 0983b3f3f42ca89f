/* SPDX-License-Identifier: Apache-2.0 */
/*
 * namespaces.h - a child of the agent, made in the namespaces it is to live in.
 *
 * New namespaces alone take one clone3. Joining some, or setting the clocks of a new time namespace, has to be done
 * before the child exists, by its maker; the agent does not leave its own namespaces for that: a helper process does it
 * and makes the child as its sibling (CLONE_PARENT), so that it is still the agent's to wait for.
 *
 * A new cgroup namespace is made by the child itself, later: its root is the cgroup the process is in at that moment.
 * One that exists is joined by the child, too: from inside of it the kernel lets nobody be put into a cgroup from
 * outside.
 */
#ifndef BULKHEAD_AGENT_NAMESPACES_H
#define BULKHEAD_AGENT_NAMESPACES_H

#include "guest-agent/message.h"

#include <stdint.h>
#include <sys/types.h>

struct err;

enum { NAMESPACE_JOINS_MAX = 8 };

struct namespace_join {
	pid_t pid;      /* a process that is in them */
	int pidfd;      /* of it; not owned */
	uint64_t flags; /* CLONE_NEW* */
};

struct namespace_plan {
	uint64_t create; /* CLONE_NEW* */
	struct namespace_join joins[NAMESPACE_JOINS_MAX];
	unsigned join_count;
	const agent_TimeOffset *time_offsets; /* of a new time namespace */
	size_t time_offset_count;
	int cgroup_fd; /* the child begins there; -1: where the agent is */
};

/*
 * The pid of a new child of the agent, which calls `child` and must not return from it. On failure -1 with the error:
 * EBUSY as its code if the cgroup cannot hold processes.
 */
pid_t namespaces_spawn(const struct namespace_plan *plan, void (*child)(void *arg), void *arg, struct err *err);

/* Writes the maps of a child in a new user namespace. */
int namespaces_write_maps(pid_t pid, const agent_Container *container, struct err *err);

/* The id outside that `id` inside is mapped to; (uint32_t)-1 if none. Without mappings ids are the same. */
uint32_t namespaces_map_id(const agent_IdMapping *mappings, size_t count, uint32_t id);

/* Host and domain name of the caller's UTS namespace. */
int namespaces_set_names(const agent_Container *container, struct err *err);

/* Brings up the loopback interface of the caller's network namespace. */
int namespaces_bring_up_loopback(void);

#endif
