/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_mem.h - memory that comes and goes while the guest runs (virtio 1.2, section 5.15), in blocks of 2 MiB.
 *
 * The device does not own the memory: `host` is a mapping of all of the region, private and anonymous, that stays as
 * long as the device. How much of it the guest should have is set by the loop thread; how much it has follows, as its
 * driver plugs and unplugs blocks. A block that it gives back is dropped.
 */
#ifndef BULKHEAD_VIRTIO_MEM_H
#define BULKHEAD_VIRTIO_MEM_H

#include <stdint.h>

struct err;
struct virtio_device;

#define VIRTIO_MEM_BLOCK (2ull << 20)

/* What `size` bytes, a multiple of VIRTIO_MEM_BLOCK, at guest physical `address` are. NULL with the error set. */
struct virtio_device *virtio_mem_create(uint64_t address, uint64_t size, uint8_t *host, struct err *err);

/*
 * The guest should have `requested` bytes of it, and may use the first `usable` ones, which never become fewer. Both
 * are multiples of the block. Tells the driver. Any thread.
 */
void virtio_mem_request(struct virtio_device *device, uint64_t requested, uint64_t usable);

/* What the guest has. Any thread. */
uint64_t virtio_mem_plugged(struct virtio_device *device);

#endif
