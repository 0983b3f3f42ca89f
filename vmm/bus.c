/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/bus.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/loop.h"
#include "vmm/kvm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

/*
 * Each pin costs the guest time at boot, so of those for devices to come there are few: the first such device has one
 * of its own, which is all that most containers need, and the others share one.
 */
enum { LATE_PINS = 2 };

void bus_init(struct bus *bus, struct kvm *kvm, struct loop *loop, const struct guest_memory *memory)
{
	*bus = (struct bus){ .kvm = kvm, .loop = loop, .memory = memory };
	for (unsigned i = 0; i < BUS_DEVICES_MAX; i++)
		bus->sink_fds[i] = -1;
}

enum { PAGES_SIZE = BUS_DEVICES_MAX * VIRTIO_MMIO_SIZE };

static void forget_pages(struct bus *bus)
{
	if (bus->pages)
		munmap(bus->pages, PAGES_SIZE);
	bus->pages = NULL;
}

void bus_destroy(struct bus *bus)
{
	for (unsigned i = 0; i < bus->count; i++) {
		virtio_mmio_destroy(&bus->devices[i]);
		close_fd(&bus->sink_fds[i]);
	}
	forget_pages(bus);
	bus->count = 0;
}

void bus_reset(struct bus *bus)
{
	for (unsigned i = 0; i < bus->count; i++)
		virtio_mmio_reset(&bus->devices[i]);
}

uint64_t bus_address(unsigned n)
{
	return BUS_ADDRESS + n * VIRTIO_MMIO_SIZE;
}

unsigned bus_pin(const struct bus *bus, unsigned n)
{
	unsigned last = bus->boot_count + LATE_PINS - 1;

	return BUS_FIRST_PIN + (bus->boot_count && n > last ? last : n);
}

uint32_t bus_pins(const struct bus *bus)
{
	unsigned count = bus->count + LATE_PINS;

	return ((1u << count) - 1) << BUS_FIRST_PIN;
}

/* The eventfd is watched edge-triggered and never read: each kick adds to it, which is an edge. */
static void doorbell_rang(void *arg, uint32_t events)
{
	struct bus_doorbell *doorbell = arg;

	(void)events;
	virtio_mmio_kicked(doorbell->mmio, doorbell->queue);
}

static int wire(struct bus *bus, unsigned n, struct err *err)
{
	struct virtio_mmio *mmio = &bus->devices[n];
	struct virtio_device *device = mmio->device;

	mmio->interrupt_fd = kvm_interrupt_fd(bus->kvm, bus_pin(bus, n), err);
	if (mmio->interrupt_fd < 0)
		return -1;
	device->call_fd = mmio->interrupt_fd;
	for (unsigned i = 0; i < device->queue_count; i++) {
		struct bus_doorbell *doorbell = &bus->doorbells[n][i];

		*doorbell = (struct bus_doorbell){ mmio, i };
		device->kick_fds[i] = kvm_doorbell_fd(bus->kvm, bus_address(n) + VIRTIO_MMIO_NOTIFY, i, err);
		if (device->kick_fds[i] < 0)
			return -1;
		if (!device->own_kicks &&
		    !loop_add_fd(bus->loop, device->kick_fds[i], EPOLLIN | EPOLLET, doorbell_rang, doorbell))
			return err_set_errno(err, "cannot watch queue %u", i);
	}
	return 0;
}

/*
 * A driver reads InterruptStatus and writes InterruptACK at each interrupt. Where the first is always the same and the
 * second means nothing, both go without this process. Not being able to is no error, only slower.
 */
static void spare_exits(struct bus *bus, unsigned n)
{
	struct virtio_mmio *mmio = &bus->devices[n];
	struct err ignored = ERR_INIT;

	if (mmio->device->own_calls)
		bus->sink_fds[n] = kvm_sink_fd(bus->kvm, bus_address(n) + VIRTIO_MMIO_ACK, &ignored);
	if (bus->pages)
		virtio_mmio_show(mmio, bus->pages + n * VIRTIO_MMIO_SIZE);
}

/*
 * Of the devices there are, and of those to come: before the monitor is in its jail, where memory of the guest's is not
 * changed any more.
 */
static void show_places(struct bus *bus)
{
	void *pages = mmap(NULL, PAGES_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		return;
	bus->pages = pages;
	if (kvm_show_pages(bus->kvm, KVM_SHOWN_REGISTERS, BUS_ADDRESS, bus->pages, PAGES_SIZE)) {
		for (unsigned n = 0; n < bus->count; n++)
			virtio_mmio_show(&bus->devices[n], bus->pages + n * VIRTIO_MMIO_SIZE);
		return;
	}
	log_debug("the guest asks for registers each time: this host's KVM has no read-only memory");
	forget_pages(bus);
}

int bus_add(struct bus *bus, struct virtio_device *device, struct err *err)
{
	unsigned n = bus->count;
	int result;

	if (!device)
		return -1;
	if (n == BUS_DEVICES_MAX) {
		err_set(err, ENOSPC, "%s: the machine has no room for another device", device->ops->name);
		device->ops->destroy(device);
		return -1;
	}
	virtio_mmio_init(&bus->devices[n], device, bus->memory, -1);
	result = wire(bus, n, err);
	if (result == 0)
		spare_exits(bus, n);
	/* Later devices may share a pin, and one of them may be vhost's, which has the eventfd. */
	if (result == 0 && !bus->boot_count)
		bus->devices[n].raiser = (struct virtio_mmio_raiser){ kvm_pulse_interrupt, bus->kvm, bus_pin(bus, n) };
	/* vCPUs see it from here on. Half wired it stays as well, since its doorbells' addresses are used up. */
	bus->count++;
	return result < 0 ? err_wrap(err, "%s", device->ops->name) : (int)n;
}

int bus_tell_guest(struct bus *bus, char *cmdline, size_t size, struct err *err)
{
	size_t used = strlen(cmdline);

	for (unsigned i = 0; i < bus->count; i++) {
		used += (size_t)snprintf(cmdline + used, size - used, " virtio_mmio.device=4K@0x%llx:%u",
					 (unsigned long long)bus_address(i), bus_pin(bus, i));
		if (used >= size)
			return err_set(err, E2BIG, "the kernel command line is longer than %zu bytes", size - 1);
	}
	bus->boot_count = bus->count;
	show_places(bus);
	return 0;
}

void bus_stats(struct bus *bus, struct vmm_device_stats out[VMM_DEVICE_KINDS_MAX])
{
	unsigned count = atomic_load(&bus->count);

	for (unsigned n = 0; n < count; n++) {
		struct virtio_device *device = bus->devices[n].device;
		unsigned kind = 0;

		while (kind < VMM_DEVICE_KINDS_MAX && out[kind].device_id &&
		       out[kind].device_id != device->ops->device_id)
			kind++;
		if (kind == VMM_DEVICE_KINDS_MAX)
			continue;
		out[kind].device_id = device->ops->device_id;
		out[kind].count++;
		out[kind].requests += atomic_load(&device->requests);
		out[kind].refused += atomic_load(&device->refused);
	}
}

bool bus_access(struct bus *bus, uint64_t address, void *data, unsigned length, bool is_write)
{
	if (address < BUS_ADDRESS || address - BUS_ADDRESS >= bus->count * (uint64_t)VIRTIO_MMIO_SIZE)
		return false;

	struct virtio_mmio *mmio = &bus->devices[(address - BUS_ADDRESS) / VIRTIO_MMIO_SIZE];
	uint32_t offset = address % VIRTIO_MMIO_SIZE;

	if (is_write)
		virtio_mmio_write(mmio, offset, data, length);
	else
		virtio_mmio_read(mmio, offset, data, length);
	return true;
}

/* Offered by the driver, taken, given back. */
static size_t describe_queue(const struct virtqueue *queue, char *text, size_t size)
{
	uint16_t offered = 0, used = 0;

	memcpy(&offered, queue->avail + 2, sizeof offered);
	memcpy(&used, queue->used + 2, sizeof used);
	return (size_t)snprintf(text, size, " %u/%u/%u%s", offered, queue->next_avail, used,
				queue->broken ? " broken" : "");
}

size_t bus_describe(const struct bus *bus, char *text, size_t size)
{
	size_t used = 0;

	for (unsigned i = 0; i < bus->count && used < size; i++) {
		const struct virtio_mmio *mmio = &bus->devices[i];
		const struct virtio_device *device = mmio->device;

		used += (size_t)snprintf(text + used, size - used, "%s%s %#x", i ? ", " : "", device->ops->name,
					 atomic_load(&mmio->status));
		for (unsigned q = 0; q < device->queue_count && used < size; q++)
			if (device->queues[q].ready)
				used += describe_queue(&device->queues[q], text + used, size - used);
	}
	return used;
}
