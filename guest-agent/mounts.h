/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounts.h - the mounts of a container, in the order given, below its root.
 *
 * Called in the child between rootfs_mount and rootfs_enter. Destinations are resolved inside the root and made if
 * missing. Shares become binds of detached clones, so flags are set before the mount can be seen.
 */
#ifndef BULKHEAD_AGENT_MOUNTS_H
#define BULKHEAD_AGENT_MOUNTS_H

#include "guest-agent/rootfs.h"

#include <stdbool.h>
#include <stdint.h>

int mounts_apply(struct rootfs *rootfs, const agent_Container *container, struct err *err);

/* A tmpfs or /dev that is to be read-only stays writable until what lies in it has been made: until this call. */
int mounts_make_read_only(const struct rootfs *rootfs, const agent_Container *container, struct err *err);

/* True if a mount that is not a bind covers /dev: then the default devices are ours to make. */
bool mounts_have_own_dev(const agent_Container *container);

/* MOUNT_ATTR_* that MS_* flags set, and that their opposites clear. For tests. */
void mounts_attributes(uint64_t flags_set, uint64_t flags_cleared, uint64_t *attr_set, uint64_t *attr_clear);

#endif
