/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_blk.h - a disk (virtio 1.2, section 5.2), in front of a block device of the host, or a file.
 *
 * Several threads of the device's own do the work, so that requests overlap and none holds up the loop; they are
 * started by virtio_blk_start, on whose thread's filter they run. A disk whose backend was taken away fails every
 * request, and can be given another when the guest's driver has let go of it.
 */
#ifndef BULKHEAD_VIRTIO_BLK_H
#define BULKHEAD_VIRTIO_BLK_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct virtio_device;

enum { BLK_SECTOR = 512, BLK_ID_MAX = 20 };

struct virtio_blk_backend {
	int fd;             /* open for what it is to do; the device takes it */
	uint64_t sectors;   /* of BLK_SECTOR bytes */
	unsigned block_log; /* log2 of its logical block size: 9 or more */
	bool read_only;
	char id[BLK_ID_MAX + 1]; /* what the guest finds it by */
};

/* Takes the descriptor. NULL with the error set. */
struct virtio_device *virtio_blk_create(const struct virtio_blk_backend *backend, struct err *err);

/* Its kick_fds must be there. Once. */
int virtio_blk_start(struct virtio_device *device, struct err *err);

/* Takes the backend away, when what is under way is done. The loop thread. */
void virtio_blk_unplug(struct virtio_device *device);

/* False: the guest has not let go of the device yet, or it has a backend; the descriptor is the caller's still. */
bool virtio_blk_replug(struct virtio_device *device, const struct virtio_blk_backend *backend);

#endif
