/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nets.h - the network interfaces of a VM: plugged in while it runs, and unplugged again.
 *
 * A device stays on the bus for good. One whose interface has gone is a socket without a wire, and the next interface
 * is plugged in there, once the guest has let go of it. The loop thread's.
 */
#ifndef BULKHEAD_NETS_H
#define BULKHEAD_NETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bus;
struct err;
struct loop;
struct snapshot;
struct snapshot_writer;
struct virtio_device;
struct vmm_place;

enum { NETS_MAX = 16 };

struct nets {
	struct bus *bus;
	struct {
		struct virtio_device *device; /* the bus's */
		unsigned number;              /* on the bus */
		uint64_t key;                 /* the requester's name for the interface */
		bool is_plugged, has_vhost;
	} items[NETS_MAX];
	size_t count;
};

void nets_init(struct nets *nets, struct bus *bus);

/* Takes both descriptors (see virtio_net.h), also when it fails. */
int nets_add(struct nets *nets, uint64_t key, const uint8_t mac[6], int tap_fd, int vhost_fd, struct vmm_place *place,
	     struct err *err);

/* ENOENT: no interface of that key is plugged in. */
int nets_find(const struct nets *nets, uint64_t key, struct vmm_place *place, struct err *err);
int nets_remove(struct nets *nets, uint64_t key, struct err *err);

/* There is more guest memory than before: vhost-net is told. */
void nets_memory_grew(struct nets *nets);

/*
 * A checkpoint: what there is on the bus, without wires. While `held` nothing moves between guest and wires (vhost-net
 * would go on by itself).
 */
void nets_hold(struct nets *nets, bool held);
int nets_save(const struct nets *nets, struct snapshot_writer *writer, struct err *err);

/* The device that was at place `number`, the next on the bus, as one whose wire was pulled. */
int nets_restore(struct nets *nets, unsigned number, const struct snapshot *snapshot, struct err *err);

#endif
