/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_rng.h - the entropy device. */
#ifndef BULKHEAD_VIRTIO_RNG_H
#define BULKHEAD_VIRTIO_RNG_H

struct err;
struct virtio_device;

/* NULL with the error set. Owned by the transport that takes it. */
struct virtio_device *virtio_rng_create(struct err *err);

#endif
