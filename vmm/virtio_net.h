/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_net.h - the network device (virtio 1.2, section 5.1), in front of a tap.
 */
#ifndef BULKHEAD_VIRTIO_NET_H
#define BULKHEAD_VIRTIO_NET_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct loop;
struct virtio_device;

/*
 * Takes `tap_fd`: a tap made with IFF_NO_PI and IFF_VNET_HDR, or, in tests, a socket that keeps packets apart. With
 * `vhost_fd` (-1: none; taken as well), which is one of /dev/vhost-net, the kernel moves the packets.
 */
struct virtio_device *virtio_net_create(struct loop *loop, const uint8_t mac[6], int tap_fd, int vhost_fd,
					struct err *err);

/* Of memory that has come, vhost-net has to be told. */
void virtio_net_memory_grew(struct virtio_device *device);

/* The wire is pulled: lets go of tap and vhost-net. The guest may go on using the device, to no effect. */
void virtio_net_unplug(struct virtio_device *device);

/*
 * Another wire for a device that was unplugged, of the same kind (with or without vhost-net). Takes both descriptors
 * (sets them to -1) and returns true; false: the guest has not let go of the device yet, or the kernel refuses.
 */
bool virtio_net_replug(struct virtio_device *device, const uint8_t mac[6], int *tap_fd, int *vhost_fd);

/* One that is unplugged from the start, and offers what a device before it did. */
struct virtio_device *virtio_net_create_unplugged(struct loop *loop, const uint8_t mac[6], bool with_vhost,
						  bool with_uso, struct err *err);

/* Its MAC, and whether it offers to leave UDP whole. */
bool virtio_net_describe(struct virtio_device *device, uint8_t mac[6]);

/* vhost-net stops, until it is let go; what goes through this process does so on the loop thread only. */
void virtio_net_hold(struct virtio_device *device, bool held);

#endif
