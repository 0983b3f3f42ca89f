/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_socket.h - the sockets of a VM, in the container's state directory. Made by the command that creates it,
 * served by the monitor, reached through the directory's fd, so that no path is too long for an address.
 */
#ifndef BULKHEAD_RUNTIME_VM_SOCKET_H
#define BULKHEAD_RUNTIME_VM_SOCKET_H

struct err;

#define VM_SOCKET_VSOCK "vsock.sock"     /* stream: "CONNECT PORT\n" reaches the agent */
#define VM_SOCKET_PROXY "proxy.sock"     /* datagrams: the proxy may look at the network now */
#define VM_SOCKET_CONTROL "control.sock" /* packets: vmm/vmm_api.h */

/* A listening socket; `type` is SOCK_STREAM or SOCK_SEQPACKET. */
int vm_socket_listen(int dirfd, const char *name, int type, struct err *err);

/* A connection, blocking; code ENOENT or ECONNREFUSED if there is no monitor (any more). */
int vm_socket_connect(int dirfd, const char *name, int type, struct err *err);

/*
 * The same for a process whose root is not the host's any more: goes through the working directory, which is as before
 * afterwards. Not for processes with threads.
 */
int vm_socket_connect_beneath(int dirfd, const char *name, int type, struct err *err);

/* A socket for datagrams from other commands; and one datagram for it. */
int vm_socket_bind(int dirfd, const char *name, struct err *err);
int vm_socket_poke(int dirfd, const char *name, struct err *err);

#endif
