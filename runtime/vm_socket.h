/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_socket.h - the two sockets of a VM, in the container's state directory. Made by the command that creates it,
 * served by the monitor, reached through the directory's fd, so that no path is too long for an address.
 */
#ifndef BULKHEAD_RUNTIME_VM_SOCKET_H
#define BULKHEAD_RUNTIME_VM_SOCKET_H

struct err;

#define VM_SOCKET_VSOCK "vsock.sock"     /* stream: "CONNECT PORT\n" reaches the agent */
#define VM_SOCKET_CONTROL "control.sock" /* packets: vmm/vmm_api.h */

/* A listening socket; `type` is SOCK_STREAM or SOCK_SEQPACKET. */
int vm_socket_listen(int dirfd, const char *name, int type, struct err *err);

/* A connection, blocking; code ENOENT or ECONNREFUSED if there is no monitor (any more). */
int vm_socket_connect(int dirfd, const char *name, int type, struct err *err);

#endif
