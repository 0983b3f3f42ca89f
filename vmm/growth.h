/* SPDX-License-Identifier: Apache-2.0 */
/*
 * growth.h - a VM's memory beyond what it began with: made available when it is first asked for, given and taken
 * through a virtio-mem device (virtio_mem.h) that comes to the bus then. A VM that never grows has nothing of this.
 *
 * The region lies above all other memory, from a border of GROWTH_ALIGN on, and is as large as the VM may grow; KVM and
 * the devices know as much of it as was ever asked for, in whole GROWTH_STEPs, since Linux adds memory in sections of
 * that size. It is for the loop thread.
 */
#ifndef BULKHEAD_GROWTH_H
#define BULKHEAD_GROWTH_H

#include <stdint.h>

struct bus;
struct err;
struct guest_memory;
struct kvm;
struct nets;
struct virtio_device;
struct vmm_growth;
struct vmm_place;

#define GROWTH_STEP (128ull << 20)
#define GROWTH_ALIGN (2ull << 30)

struct growth {
	struct kvm *kvm;
	struct bus *bus;
	struct nets *nets;
	struct guest_memory *memory;
	uint64_t limit;               /* of all memory; less than there is: it cannot grow */
	struct virtio_device *device; /* the bus's; NULL until the VM grows */
	unsigned number;              /* on the bus */
	unsigned pieces;              /* that KVM was given */
	uint64_t requested;
};

/* All four must outlive it. `limit` is in bytes. */
void growth_init(struct growth *growth, struct kvm *kvm, struct bus *bus, struct nets *nets,
		 struct guest_memory *memory, uint64_t limit);

/*
 * The VM should have `bytes` of memory in all, of whole blocks; less than it began with asks for that. The place is
 * where the guest finds the device; all zero: there is none, as nothing has grown yet.
 */
int growth_request(struct growth *growth, uint64_t bytes, struct vmm_place *place, struct err *err);

void growth_describe(const struct growth *growth, struct vmm_growth *out);

#endif
