/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launch.h - what the agent's child does: builds the container around itself, or has joined one, and becomes the
 * process. The other side of the conversation is process.c (see sync.h).
 */
#ifndef BULKHEAD_AGENT_LAUNCH_H
#define BULKHEAD_AGENT_LAUNCH_H

#include "guest-agent/message.h"
#include "guest-agent/stdio.h"
#include "guest-agent/sysctl.h"

#include <stdbool.h>

/* All the child gets to know. It runs in a copy of the agent's memory, so these may point anywhere in it. */
struct launch {
	const char *id;
	const char *run_dir;              /* of the agent; see rootfs.h */
	const agent_Container *container; /* NULL: an exec, which is in the container's namespaces already */
	const agent_Process *process;
	bool in_user_namespace;
	bool debug; /* of an exec: in the container's mounts only, see agent.proto */
	bool new_cgroup_namespace, new_network_namespace, new_uts_namespace;
	enum sysctl_part sysctls; /* that are the child's to set */
	int streams[STDIO_MAX];   /* become descriptors 0, 1, ...; the first three are -1 with a terminal */
	int stream_count;         /* at least 3 */
	int sync_fd;
};

/* Takes a struct launch and ends in the user's program, or ends the process after telling the agent why. */
void launch_main(void *launch) __attribute__((noreturn));

#endif
