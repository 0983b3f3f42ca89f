/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_root.h - the proxy's own mount namespace, with the container's root file system for its root and its bind
 * mounts in their places.
 *
 * Podman copies files into and out of a running container by entering the mount namespace of the pid it knows, which is
 * the proxy's. In the host's own namespace `podman cp file container:/etc/passwd` would replace the host's, and without
 * the bind mounts a copy to a volume would end below it. What the guest has in its memory (tmpfs) cannot be reached
 * from here: an empty file system, read-only, is in its place, so that a copy fails and does not end in the root file
 * system below, where nobody would see it.
 *
 * `bulkhead` has the paths and the proxy the namespace, so the first packs detached mounts for the second: messages in
 * a socket pair, each of one mount and the path in the container it belongs to. Nobody else sees the socket.
 */
#ifndef BULKHEAD_RUNTIME_PROXY_ROOT_H
#define BULKHEAD_RUNTIME_PROXY_ROOT_H

#include "agent.pb.h"

#include <stdbool.h>

struct err;
struct oci_shares;

/*
 * The descriptor to give to the proxy, or -1. The mounts are clones of the shares; a share that is no path on the host
 * (an overlay of its own) is left out. What does not fit any more is left out too, and said with --debug.
 */
int proxy_root_pack(const struct oci_shares *shares, const agent_Container *container, struct err *err);

/*
 * A mount of its own, mounted nowhere, of directory `name` beneath `dirfd` ("": itself): the way up ends there, where a
 * mere descriptor of a directory leads to all of its file system, to other containers' sockets and the engines' own. To
 * be called on the host's mounts. Returns its descriptor, -1 on failure.
 */
int proxy_root_detach(int dirfd, const char *name, bool read_only, struct err *err);

/*
 * Leaves the host's mounts for good; packed_fd is closed. Nothing opens host paths after this. The container has been
 * built by then, and with it the places of its mounts; one that is missing or of another kind is left out. With -1 for
 * the descriptor (an exec's proxy, whom nobody asks for files) the root is empty.
 */
int proxy_root_enter(int *packed_fd, struct err *err);

#endif
