/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disks.h - the block devices of a VM: there from the start, or plugged in while it runs, and unplugged again.
 *
 * A device stays on the bus for good; one whose disk has gone takes the next, once the guest has let go of it. A disk
 * is known by its id, which is also what the guest finds it by. The loop thread's.
 */
#ifndef BULKHEAD_DISKS_H
#define BULKHEAD_DISKS_H

#include <stdbool.h>
#include <stddef.h>

struct bus;
struct err;
struct virtio_blk_backend;
struct virtio_device;
struct vmm_place;

enum { DISKS_MAX = 10 };

struct disks {
	struct bus *bus;
	struct virtio_device *fs; /* on one of its threads a disk's threads are started */
	struct {
		struct virtio_device *device; /* the bus's */
		unsigned number;              /* on the bus */
		char id[24];
		bool is_plugged;
	} items[DISKS_MAX];
	size_t count;
};

void disks_init(struct disks *disks, struct bus *bus);

/* Takes the backend's descriptor, also when it fails. EEXIST: there is one of that id. disks->fs must be set. */
int disks_add(struct disks *disks, const struct virtio_blk_backend *backend, struct vmm_place *place, struct err *err);

/* ENOENT: there is none of that id. */
int disks_find(const struct disks *disks, const char *id, struct vmm_place *place, struct err *err);
int disks_remove(struct disks *disks, const char *id, struct err *err);

#endif
