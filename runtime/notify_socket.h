/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify_socket.h - the service manager's socket, NOTIFY_SOCKET, for a process in a VM.
 *
 * sd_notify(3) sends datagrams to a Unix socket, and none leads out of a VM. So the guest gets a socket of its own in
 * its place (guest-agent/notify.h), and the proxy sends on what arrives there. Two ways to ask for it:
 *  - Podman and conmon: process.env has NOTIFY_SOCKET, and a bind mount brings that socket of the host's in;
 *  - as runc has it: NOTIFY_SOCKET is in the runtime's own environment. The container finds it at /run/notify.
 */
#ifndef BULKHEAD_RUNTIME_NOTIFY_SOCKET_H
#define BULKHEAD_RUNTIME_NOTIFY_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

struct _agent_Container;
struct err;
struct oci_config;

struct notify_socket {
	int fd;             /* connected to the host's; -1: none is wanted, or nobody listens */
	bool is_runtimes;   /* the second way */
	const char *inside; /* where the container looks for it; the configuration's, or static */
};

/* Before the configuration is described: adds to its environment in the second way. */
void notify_socket_find(struct notify_socket *notify, struct oci_config *config);

/* Adds what the guest mounts. */
void notify_socket_describe(const struct notify_socket *notify, struct _agent_Container *container);

/* Whoever started the runtime as a service is told which process stays. */
void notify_socket_tell_main(const struct notify_socket *notify, pid_t pid);

#endif
