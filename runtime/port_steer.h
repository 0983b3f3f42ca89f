/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_steer.h - one listening socket for every loopback port of a network namespace.
 *
 * The namespace of a pod holds no servers: they are in the guest, with a loopback of their own. Engines forward ports
 * by connecting to localhost in the namespace, so these connections are steered to us, by a small BPF program that the
 * kernel asks where a connection belongs (BPF_PROG_TYPE_SK_LOOKUP, Linux 5.9). Only those to 127.0.0.0/8 and ::1 are,
 * or to every IPv4 address of the namespace. What comes over its interfaces goes to the guest and is not seen here.
 */
#ifndef BULKHEAD_RUNTIME_PORT_STEER_H
#define BULKHEAD_RUNTIME_PORT_STEER_H

#include <stdbool.h>

struct err;

struct port_steer {
	int listen_fd; /* does not block */
	int link_fd;   /* as long as it is open, it works */
	bool every_address;
};

/* In the caller's network namespace. Takes root's rights. On failure both are -1. */
int port_steer_open(struct port_steer *steer, bool every_address, struct err *err);
void port_steer_close(struct port_steer *steer);

/* The next connection, and the port that was meant; -1: none, or one to another address. */
int port_steer_accept(const struct port_steer *steer, unsigned *port);

#endif
