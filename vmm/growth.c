/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/growth.h"

#include "common/err.h"
#include "vmm/bus.h"
#include "vmm/guest_memory.h"
#include "vmm/kvm.h"
#include "vmm/nets.h"
#include "vmm/virtio_mem.h"
#include "vmm/vmm_api.h"

#include <errno.h>
#include <stdatomic.h>

/* Where Linux has memory sections of 2 GiB instead of 128 MiB. */
#define LARGE_MEMORY (64ull << 30)

void growth_init(struct growth *growth, struct kvm *kvm, struct bus *bus, struct nets *nets,
		 struct guest_memory *memory, uint64_t limit)
{
	*growth = (struct growth){ .kvm = kvm, .bus = bus, .nets = nets, .memory = memory, .limit = limit };
}

static uint64_t round_up(uint64_t value, uint64_t step)
{
	return (value + step - 1) / step * step;
}

static uint64_t step_of(const struct growth *growth)
{
	return growth->memory->size >= LARGE_MEMORY ? GROWTH_ALIGN : GROWTH_STEP;
}

static uint64_t region_size(const struct growth *growth)
{
	return round_up(growth->limit - growth->memory->size, step_of(growth));
}

/* Above all memory there is: a VM with little begins where the hole ends, all the same. */
static uint64_t region_start(const struct growth *growth)
{
	const struct guest_memory *memory = growth->memory;
	const struct guest_range *last = &memory->ranges[memory->count - 1];
	uint64_t end = last->start + last->size;

	return round_up(end > GUEST_HOLE_END ? end : GUEST_HOLE_END, GROWTH_ALIGN);
}

static int make_device(struct growth *growth, struct err *err)
{
	struct guest_memory *memory = growth->memory;
	struct virtio_device *device;
	int number;

	if (!memory->growth.host && guest_memory_reserve(memory, region_start(growth), region_size(growth), err))
		return -1;
	device = virtio_mem_create(memory->growth.start, memory->growth.size, memory->growth.host, err);
	number = bus_add(growth->bus, device, err);
	if (number < 0)
		return -1;
	growth->device = device;
	growth->number = (unsigned)number;
	return 0;
}

/* KVM first, then everybody in this process and vhost-net: whoever knows an address can use it. */
static int grant(struct growth *growth, uint64_t bytes, struct err *err)
{
	struct guest_memory *memory = growth->memory;
	uint64_t granted = atomic_load(&memory->granted);

	if (bytes <= granted)
		return 0;
	/* So often is no honest wish: from here on all of it is granted. */
	if (growth->pieces == KVM_LATER_MAX - 1)
		bytes = memory->growth.size;
	if (kvm_add_memory(growth->kvm, growth->pieces, memory->growth.start + granted, bytes - granted,
			   memory->growth.host + granted, err))
		return -1;
	growth->pieces++;
	atomic_store_explicit(&memory->granted, bytes, memory_order_release);
	nets_memory_grew(growth->nets);
	return 0;
}

int growth_request(struct growth *growth, uint64_t bytes, struct vmm_place *place, struct err *err)
{
	uint64_t begun = growth->memory->size;
	uint64_t requested = bytes > begun ? round_up(bytes - begun, VIRTIO_MEM_BLOCK) : 0;

	*place = (struct vmm_place){ 0 };
	if (bytes > growth->limit && bytes > begun)
		return err_set(err, ENOSPC, "the virtual machine has %llu MiB of memory and may have %llu, not %llu",
			       (unsigned long long)(begun >> 20), (unsigned long long)(growth->limit >> 20),
			       (unsigned long long)(bytes >> 20));
	if (!requested && !growth->device)
		return 0;
	if (!growth->device && make_device(growth, err))
		return -1;
	if (grant(growth, round_up(requested, step_of(growth)), err))
		return -1;
	growth->requested = requested;
	virtio_mem_request(growth->device, requested, atomic_load(&growth->memory->granted));
	*place = (struct vmm_place){
		.address = bus_address(growth->number),
		.irq = bus_pin(growth->bus, growth->number),
	};
	return 0;
}

void growth_describe(const struct growth *growth, struct vmm_growth *out)
{
	*out = (struct vmm_growth){
		.begun = growth->memory->size,
		.limit = growth->limit,
		.requested = growth->memory->size + growth->requested,
		.plugged = growth->memory->size + (growth->device ? virtio_mem_plugged(growth->device) : 0),
	};
}
