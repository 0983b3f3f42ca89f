/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs.h - the container's root: a share, perhaps under a writable layer that is thrown away, and the step into it.
 *
 * Called in the child, in a mount namespace of its own. Between rootfs_mount and rootfs_enter the agent's file tree is
 * still at "/", and the container's is reached through `root_fd` only (paths.h). Afterwards there is nothing else.
 */
#ifndef BULKHEAD_AGENT_ROOTFS_H
#define BULKHEAD_AGENT_ROOTFS_H

#include "guest-agent/message.h"

struct err;

/* What of the agent's own tree the container is built from. Opened before the container can have a say. */
struct rootfs {
	int root_fd;   /* of the container */
	int shares_fd; /* folder of shares */
	int common_fd; /* folder of what containers have in common: common_mounts.h */
	int proc_fd;   /* the agent's procfs */
	int null_fd;   /* the real /dev/null (1:3) */
};

#define ROOTFS_EMPTY                                                                          \
	{                                                                                     \
		.root_fd = -1, .shares_fd = -1, .common_fd = -1, .proc_fd = -1, .null_fd = -1 \
	}

/* The folder in `run_dir` that the root is mounted on. */
#define ROOTFS_NAME "root"

/* `run_dir` holds "shares", "common", and "root" and "overlay" to mount on. */
int rootfs_mount(struct rootfs *rootfs, const char *run_dir, const agent_Container *container, struct err *err);

/* Read-only if asked for, then pivot_root: the agent's tree is gone, and so are the descriptors of it. */
int rootfs_enter(struct rootfs *rootfs, const agent_Container *container, struct err *err);

#endif
