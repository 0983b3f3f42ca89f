/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_balloon.h - the memory balloon (virtio 1.2, section 5.5), for one thing: the guest reports memory that it does
 * not use, and the host takes it back (section 5.5.6.7).
 */
#ifndef BULKHEAD_VIRTIO_BALLOON_H
#define BULKHEAD_VIRTIO_BALLOON_H

struct err;
struct virtio_device;

/* NULL with the error set. */
struct virtio_device *virtio_balloon_create(struct err *err);

#endif
