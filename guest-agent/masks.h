/* SPDX-License-Identifier: Apache-2.0 */
/*
 * masks.h - paths of the container that show nothing, and paths that cannot be written.
 *
 * Called in the child between mounts_apply and rootfs_enter. A file is hidden under the guest's /dev/null, which was
 * checked to be the null device, not under whatever the image has by that name; a directory under an empty read-only
 * tmpfs. A path that is not there needs no mask.
 */
#ifndef BULKHEAD_AGENT_MASKS_H
#define BULKHEAD_AGENT_MASKS_H

#include "guest-agent/rootfs.h"

struct err;

int masks_apply(const struct rootfs *rootfs, const agent_Container *container, struct err *err);

#endif
