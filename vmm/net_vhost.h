/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_vhost.h - the host's kernel serves a network device's rings (/dev/vhost-net).
 *
 * A thread of the kernel's reads and writes guest memory through this process's address space, so private memory is no
 * obstacle. It checks rings and headers itself. Notifications and interrupts do not pass through this process either.
 */
#ifndef BULKHEAD_NET_VHOST_H
#define BULKHEAD_NET_VHOST_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct net_vhost;
struct virtio_device;

/* Takes `fd`. NULL with the error set, also if this kernel's misses something the transport offers for sure. */
struct net_vhost *net_vhost_create(int fd, struct err *err);
void net_vhost_destroy(struct net_vhost *vhost); /* NULL is fine */

/* Between activate and reset of the device. False: the kernel refused something. */
bool net_vhost_start(struct net_vhost *vhost, struct virtio_device *device, int tap_fd);
bool net_vhost_set_memory(const struct net_vhost *vhost, const struct virtio_device *device); /* as it is now */
void net_vhost_stop(struct net_vhost *vhost); /* returns when the kernel has let go of guest memory */

/* After net_vhost_stop, from where it was: the rings are the same. */
bool net_vhost_go_on(struct net_vhost *vhost, const struct virtio_device *device, int tap_fd);

#endif
