/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_mmio.h - the transport: one page of registers in front of a virtio device (virtio 1.2, section 4.2).
 *
 * The device's status is a state machine; each register says in which states it may be written:
 *
 *     RESET --ACKNOWLEDGE--> ACKNOWLEDGED --DRIVER--> DRIVER --FEATURES_OK--> NEGOTIATED --DRIVER_OK--> ACTIVE
 *       ^                                                (only if the features are acceptable)             |
 *       +-- writing 0, from every state            FAILED <--FAILED, from every state but RESET ----------+
 *
 * A write that does not fit its register's width, or the state, changes nothing and is counted; a read that does not
 * fit gives 0. The guest can bring its own device into any state, and nothing else.
 *
 * virtio_mmio_read and _write are called on vCPU threads, several at once, and lock the device. Signals and failures
 * come from any thread, with or without that lock, so the interrupt status and the status are atomic.
 */
#ifndef BULKHEAD_VIRTIO_MMIO_H
#define BULKHEAD_VIRTIO_MMIO_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guest_memory;
struct kvm;
struct virtio_device;

#define VIRTIO_MMIO_SIZE 0x1000u
#define VIRTIO_MMIO_NOTIFY 0x050u /* QueueNotify: where doorbells are wired */
#define VIRTIO_MMIO_ACK 0x064u    /* InterruptACK */

enum virtio_state {
	VIRTIO_STATE_RESET,
	VIRTIO_STATE_ACKNOWLEDGED,
	VIRTIO_STATE_DRIVER,
	VIRTIO_STATE_NEGOTIATED,
	VIRTIO_STATE_ACTIVE,
	VIRTIO_STATE_FAILED,
	VIRTIO_STATE_COUNT
};

/* A bit that the driver adds to the status; the device's own bits are not the driver's to write. */
enum virtio_event {
	VIRTIO_EVENT_ACKNOWLEDGE,
	VIRTIO_EVENT_DRIVER,
	VIRTIO_EVENT_FEATURES_OK,
	VIRTIO_EVENT_DRIVER_OK,
	VIRTIO_EVENT_FAILED,
	VIRTIO_EVENT_COUNT
};

/* Raises the interrupt as well, and quicker than the eventfd, which is not used then. Set before a driver sees the
 * device. */
struct virtio_mmio_raiser {
	void (*raise)(const struct kvm *kvm, unsigned pin); /* any thread; NULL: the eventfd does */
	const struct kvm *kvm;
	unsigned pin;
};

struct virtio_mmio {
	struct virtio_device *device;
	const struct guest_memory *memory;
	int interrupt_fd; /* eventfd, raises the interrupt; owned; -1: none */
	struct virtio_mmio_raiser raiser;
	/* Under device->lock. */
	enum virtio_state state;
	uint32_t device_features_select, driver_features_select, queue_select, shared_select;
	uint64_t driver_features; /* as written so far */
	uint8_t *page;            /* what the driver reads, see virtio_mmio_show; NULL: it asks us */
	/* Any thread. */
	atomic_uint status, interrupt_status, generation;
	pthread_mutex_t complaint_lock; /* device->complaints; taken last */
};

/* Takes the device (virtio_mmio_destroy destroys it) and `interrupt_fd`. The device's kick_fds are set by the caller.
 */
void virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *device, const struct guest_memory *memory,
		      int interrupt_fd);
void virtio_mmio_destroy(struct virtio_mmio *mmio);

/*
 * Keeps `page` (VIRTIO_MMIO_SIZE bytes, zeroed; owned by the caller, to outlive the device) as a driver would read the
 * registers, so that the page itself can be shown to the guest, read-only. No thread accesses the device yet.
 */
void virtio_mmio_show(struct virtio_mmio *mmio, uint8_t *page);

/* `offset` + `length` is inside the page. */
void virtio_mmio_read(struct virtio_mmio *mmio, uint32_t offset, void *data, unsigned length);
void virtio_mmio_write(struct virtio_mmio *mmio, uint32_t offset, const void *data, unsigned length);

/* What 0 in Status does: the device lets go of the guest's memory. */
void virtio_mmio_reset(struct virtio_mmio *mmio);

/* The doorbell of queue `index` rang: lets the device look if it is active. On the loop thread. */
void virtio_mmio_kicked(struct virtio_mmio *mmio, unsigned index);

/* What Status reads as in a state in which nothing has gone wrong. */
uint32_t virtio_mmio_status(enum virtio_state state);

/* Whether mmio->driver_features were offered, and are enough. */
bool virtio_mmio_features_are_acceptable(const struct virtio_mmio *mmio);

/* The table, for tests and messages. NULL for offsets without a register. */
struct virtio_register {
	const char *name;
	uint32_t (*read)(struct virtio_mmio *mmio);              /* NULL: write only */
	void (*write)(struct virtio_mmio *mmio, uint32_t value); /* NULL: read only */
	unsigned writable_in; /* 1 << state, for each state in which it may be written */
};
const struct virtio_register *virtio_mmio_register(uint32_t offset);
enum virtio_state virtio_mmio_next_state(enum virtio_state state, enum virtio_event event); /* COUNT: refused */

#endif
