/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.h - what the parts of the agent share. One process, one thread, one loop.
 */
#ifndef BULKHEAD_AGENT_AGENT_H
#define BULKHEAD_AGENT_AGENT_H

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct container;
struct loop;
struct resolver;

enum { AGENT_NETS_MAX = 16 }; /* as many as the monitor has room for */

struct agent {
	struct loop *loop;
	int sandbox_fd;         /* /dev/bulkhead, or -1 */
	const char *run_dir;    /* holds shares/, common/, root/ and overlay/ */
	const char *cgroup_dir; /* where the cgroup tree is mounted */
	int cgroup_fd;          /* of it; -1 until boot_finish */
	bool finished_boot;
	struct container *containers;
	struct conn *suspender;        /* for whose checkpoint the container stands still; suspend.c */
	uint64_t generation;           /* as BULKHEAD_IOC_IDENTITY gave it last */
	uint64_t nets[AGENT_NETS_MAX]; /* addresses of the devices of network interfaces; 0: none */
	struct resolver *resolver;     /* NULL: the guest reaches its nameservers by itself */
};

#endif
