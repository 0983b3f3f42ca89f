/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork_config.h - the configuration of a fork, from that of the container it is a copy of.
 *
 * What there can be one of is its own: the host name is the fork's id (if the container has one), the cgroup's path is
 * chosen anew, and the network is a new, empty namespace, since an interface cannot be in two machines. Hooks, which an
 * engine made for one container, are left out.
 */
#ifndef BULKHEAD_OCI_FORK_CONFIG_H
#define BULKHEAD_OCI_FORK_CONFIG_H

struct err;

/* malloc'ed; NULL with the error set. */
char *oci_fork_config(const char *text, const char *id, struct err *err);

#endif
