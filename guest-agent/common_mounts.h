/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common_mounts.h - file systems in memory that the containers of a VM have in common: a pod's /dev/shm. Made by the
 * agent for the first container that mounts one, bound into each (mounts.c), and there until the VM ends.
 */
#ifndef BULKHEAD_AGENT_COMMON_MOUNTS_H
#define BULKHEAD_AGENT_COMMON_MOUNTS_H

#include "guest-agent/message.h"

#include <limits.h>
#include <stdbool.h>

struct err;

/* Of the type of one that is no file system, but the socket that stdio_add_notify makes there. */
#define COMMON_MOUNT_NOTIFY "notify"

/* The path of that socket, if the container mounts one. */
bool common_mounts_notify_path(const char *run_dir, const agent_Container *container, char out[PATH_MAX]);

/* Below `run_dir`/common, for those of the container's mounts that name one. What is there already stays. */
int common_mounts_make(const char *run_dir, const agent_Container *container, struct err *err);

#endif
