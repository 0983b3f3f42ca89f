/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus.h - where the virtio devices of a VM are, and how accesses and notifications find them.
 *
 * Device n has its page at BUS_ADDRESS + n * 4 KiB and an interrupt pin. Those that are there at boot are named on the
 * kernel command line; others can be added while the guest runs, which is told of them by other means. None is ever
 * removed.
 *
 * Everything is for the loop thread but bus_access, which any vCPU thread may call at any time.
 */
#ifndef BULKHEAD_BUS_H
#define BULKHEAD_BUS_H

#include "vmm/mptable.h"
#include "vmm/virtio_device.h"
#include "vmm/virtio_mmio.h"
#include "vmm/vmm_api.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUS_ADDRESS 0xd0000000ull
#define BUS_FIRST_PIN 6u

enum { BUS_DEVICES_MAX = MPTABLE_PINS - BUS_FIRST_PIN };

struct err;
struct kvm;
struct loop;

/* What the loop needs to know when a doorbell rings. */
struct bus_doorbell {
	struct virtio_mmio *mmio;
	unsigned queue;
};

struct bus {
	struct kvm *kvm;
	struct loop *loop;
	const struct guest_memory *memory;
	struct virtio_mmio devices[BUS_DEVICES_MAX];
	struct bus_doorbell doorbells[BUS_DEVICES_MAX][VIRTIO_QUEUES_MAX];
	/*
	 * The registers of the devices there are and of those to come, as the guest reads them without an exit; NULL:
	 * it asks us. And where acknowledgements go that mean nothing; -1: here.
	 */
	uint8_t *pages;
	int sink_fds[BUS_DEVICES_MAX];
	atomic_uint count;   /* grows while vCPUs run; a device is complete before it counts */
	unsigned boot_count; /* 0 until the guest is told */
};

/* All three must outlive the bus; they may still be empty. */
void bus_init(struct bus *bus, struct kvm *kvm, struct loop *loop, const struct guest_memory *memory);
void bus_destroy(struct bus *bus); /* and its devices; no vCPU runs any more */

/* As if the driver of each had reset it: none touches the guest's memory any more. On a vCPU's thread, the last one. */
void bus_reset(struct bus *bus);

/* Takes the device, also when it fails; NULL is one that could not be made (the error is set). Returns n or -1. */
int bus_add(struct bus *bus, struct virtio_device *device, struct err *err);

uint64_t bus_address(unsigned n);
unsigned bus_pin(const struct bus *bus, unsigned n);

/* Appends the devices so far to the kernel's command line: those are the ones at boot. */
int bus_tell_guest(struct bus *bus, char *cmdline, size_t size, struct err *err);

/* Bit n is set if pin n has a device, or may get one later. */
uint32_t bus_pins(const struct bus *bus);

/* False: no device is at that address. */
bool bus_access(struct bus *bus, uint64_t address, void *data, unsigned length, bool is_write);

/* Counts by kind of device, in the order in which the kinds came. `out` is zeroed. */
void bus_stats(struct bus *bus, struct vmm_device_stats out[VMM_DEVICE_KINDS_MAX]);

/*
 * Writes how far each device's queues came: for a guest that is given up, and runs no more. Returns the length as
 * snprintf does.
 */
size_t bus_describe(const struct bus *bus, char *text, size_t size);

#endif
