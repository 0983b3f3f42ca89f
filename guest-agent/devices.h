/* SPDX-License-Identifier: Apache-2.0 */
/*
 * devices.h - device nodes in the container's /dev, and the links the specification wants there.
 *
 * Called in the child between mounts_apply and rootfs_enter. Where nodes cannot be made (user namespace, read-only
 * root) one of the guest's is bound instead: its own of the same name and number, or what device_nodes.h made.
 */
#ifndef BULKHEAD_AGENT_DEVICES_H
#define BULKHEAD_AGENT_DEVICES_H

#include "guest-agent/rootfs.h"

struct err;

/* null, zero, full, random, urandom, tty; ptmx, fd, stdin, stdout, stderr, core. For a /dev of its own only. */
int devices_make_defaults(const struct rootfs *rootfs, struct err *err);

/* Those config.json lists. `id` is the container's. */
int devices_make(const struct rootfs *rootfs, const agent_Container *container, const char *id, struct err *err);

#endif
