/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_vsock.h - the socket device (virtio 1.2, section 5.10), joined to a Unix stream socket on the host.
 *
 * A host program connects to the socket, writes "CONNECT <port>\n" and, when the guest has accepted, reads
 * "OK <host port>\n" and from then on raw bytes; a refusal closes the connection. A CONNECT that comes before
 * virtio_vsock_set_ready waits, like one that comes before the guest's driver.
 *
 * At most VSOCK_CONNECTIONS_MAX connections, greetings and waiting ones included, each with VSOCK_BUFFER bytes
 * (vsock_conn.h); further programs wait in the socket's backlog.
 *
 * Connections that the guest opens towards the host are refused with RST. The usual mapping, to a path beside the
 * socket, cannot be had here: the monitor opens nothing by path.
 */
#ifndef BULKHEAD_VIRTIO_VSOCK_H
#define BULKHEAD_VIRTIO_VSOCK_H

#include <stdint.h>

struct err;
struct loop;
struct virtio_device;

enum { VSOCK_CONNECTIONS_MAX = 256 };

/* Takes `listen_fd`, also when it fails (NULL). Everything but set_ready and the registers is the loop thread's. */
struct virtio_device *virtio_vsock_create(struct loop *loop, uint64_t guest_cid, int listen_fd, struct err *err);

/* The guest's agent listens: let the waiting connections through, and those to come. Any thread. */
void virtio_vsock_set_ready(struct virtio_device *device);

/* Connections in use, for statistics. Any thread. */
unsigned virtio_vsock_connections(struct virtio_device *device);

/*
 * Tells the guest that all its connections are gone (5.10.6.7, TRANSPORT_RESET), as those of a saved guest are. Between
 * activate and the first new connection; fails if its driver has no buffer for it.
 */
int virtio_vsock_tell_reset(struct virtio_device *device, struct err *err);

/*
 * How many connections there were: the guest may have sockets of them for a while, and those to come must not look like
 * them. The loop does not run.
 */
uint32_t virtio_vsock_serial(struct virtio_device *device);
void virtio_vsock_set_serial(struct virtio_device *device, uint32_t serial);

#endif
