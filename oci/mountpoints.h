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

struct oci_shares;

/*
 * Makes what is missing for the mounts of `request` and for its working directory, in the directory `root`, following
 * symlinks only inside of it. What can't be made is left to the agent's error.
 */
void oci_mountpoints_make(const char *root, const agent_CreateRequest *request);

/*
 * The guest made those in what it may write to, when it was new. One that continues (`restore`) has them mounted over,
 * and wants to find them where they were: those that are gone by now are made again, in the root and in the other
 * shares.
 */
void oci_mountpoints_make_again(const struct oci_shares *shares, const agent_CreateRequest *request);

/* Gives a tmpfs whose mount point is still missing the mode 1777; before the description is encoded. */
void oci_mountpoints_open_tmpfs(const char *root, agent_CreateRequest *request);

#endif
