/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn.h - starts a proxy: fork, what must be set before it runs, exec.
 *
 * The child becomes leader of its own session, enters the host cgroup and the network namespace, gets the container's
 * standard streams, and exactly the other descriptors it is meant to have: whatever the engine leaked into us ends
 * there. A failure on the way is a SYNC_FAILED on the sync socket.
 */
#ifndef BULKHEAD_RUNTIME_SPAWN_H
#define BULKHEAD_RUNTIME_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct err;

struct spawn {
	const char *program;
	char **arguments; /* NULL-terminated, the program's name first */
	const int *fds;   /* to be inherited under the same numbers */
	size_t fd_count;
	int terminal_fd;   /* becomes the controlling terminal; -1: none */
	bool null_streams; /* /dev/null for 0, 1 and 2 instead of ours */
	int cgroup_fd;     /* cgroup.procs, open for writing; -1: stay */
	int network_fd;    /* network namespace to enter; -1: see new_network */
	bool new_network;
	bool has_oom_score_adj;
	int oom_score_adj;
	int sync_fd; /* the child's end */
};

/* Returns the pid, or -1 with the error set. */
pid_t spawn_proxy(const struct spawn *spawn, struct err *err);

#endif
