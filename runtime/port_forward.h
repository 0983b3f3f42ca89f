/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_forward.h - connections made in a container's network namespace, to localhost, carried to the guest's loopback.
 *
 * Part of a pod's sandbox's proxy, which is in that namespace, or of the proxy of a container whose ports slirp4netns
 * publishes: that one connects to the container's own address (every_address). What arrives (port_steer.h) gets a
 * stream connection of its own to the agent (PROTO_FORWARD), and bytes go both ways until either side has had enough.
 * The guest only answers: it cannot open a connection to the host this way.
 */
#ifndef BULKHEAD_RUNTIME_PORT_FORWARD_H
#define BULKHEAD_RUNTIME_PORT_FORWARD_H

#include <stdbool.h>

struct err;
struct loop;
struct port_forward;

enum { PORT_FORWARDS_MAX = 64 }; /* at a time; further ones are closed at once */

/* `state_fd` leads to the VM's socket and stays the caller's. Before the caller leaves the host's mounts. */
struct port_forward *port_forward_create(struct loop *loop, int state_fd, bool every_address, struct err *err);
void port_forward_destroy(struct port_forward *forward); /* NULL is fine */

#endif
