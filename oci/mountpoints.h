/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mountpoints.h - missing mount points, made by the host in a root that the guest gets read-only.
 *
 * A read-only root is shared read-only, so that the guest cannot talk its way around. But somebody must make the
 * directories mounts go to, as every runtime does, and after that only the host can.
 */
#ifndef BULKHEAD_OCI_MOUNTPOINTS_H
#define BULKHEAD_OCI_MOUNTPOINTS_H

#include "agent.pb.h"

/*
 * Makes what is missing for the mounts of `request` and for its working directory, in the directory `root`, following
 * symlinks only inside of it. What can't be made is left to the agent's error.
 */
void oci_mountpoints_make(const char *root, const agent_CreateRequest *request);

/* Gives a tmpfs whose mount point is still missing the mode 1777; before the description is encoded. */
void oci_mountpoints_open_tmpfs(const char *root, agent_CreateRequest *request);

#endif
