/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_root.h - the proxy's own mount namespace, with the container's root file system for its root.
 *
 * Podman copies files into and out of a running container by entering the mount namespace of the pid it knows, which is
 * the proxy's. In the host's own namespace `podman cp file container:/etc/passwd` would replace the host's.
 */
#ifndef BULKHEAD_RUNTIME_PROXY_ROOT_H
#define BULKHEAD_RUNTIME_PROXY_ROOT_H

struct err;

/* Leaves the host's mounts for good; root_fd is a detached mount, and closed. Nothing opens host paths after this. */
int proxy_root_enter(int *root_fd, struct err *err);

#endif
