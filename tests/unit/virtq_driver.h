/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtq_driver.h - the driver's side of a virtio device, for tests and fuzzers: rings in ordinary memory, no KVM.
 *
 * driver_start makes guest memory, lays out every queue of the device, counts its interrupts and activates it. Then:
 *
 *     uint64_t request = driver_alloc(&d, 64), reply = driver_alloc(&d, 64);
 *     driver_put(&d, 0, 2, (struct driver_segment[]){ { request, 64, false }, { reply, 64, true } });
 *     driver_kick(&d, 0);
 *     assert_true(driver_take(&d, 0, &head, &written));     or driver_wait, for devices with threads
 *
 * The bytes of guest memory are at driver_at. Nothing here is checked: a test may put any nonsense on a ring, with
 * driver_set_descriptor and driver_offer. Addresses and sizes are the driver's own notes, so that a device that writes
 * where it should not is seen as such.
 */
#ifndef BULKHEAD_TESTS_VIRTQ_DRIVER_H
#define BULKHEAD_TESTS_VIRTQ_DRIVER_H

#include "common/err.h"
#include "vmm/guest_memory.h"
#include "vmm/virtio_device.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DRIVER_MEMORY (16ull << 20)
#define DRIVER_HEAP 0x100000ull /* buffers from here on, the rings lie below */
#define DRIVER_QUEUE_STEP 0x10000ull

enum { DRIVER_DESC_NEXT = 1, DRIVER_DESC_WRITE = 2, DRIVER_DESC_INDIRECT = 4 };

struct driver_segment {
	uint64_t address;
	uint32_t length;
	bool writable;
};

struct driver_descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags;
	uint16_t next;
};

struct driver_queue {
	uint64_t desc, avail, used;
	uint16_t size;
	uint16_t avail_index, used_index;
	uint16_t next_free; /* descriptors are handed out in a circle; a test keeps fewer than `size` in flight */
};

struct driver {
	struct guest_memory memory;
	struct virtio_device *device;
	struct driver_queue queues[VIRTIO_QUEUES_MAX];
	uint64_t heap;
	int signal_fd; /* eventfd: one for each interrupt */
	atomic_uint queue_signals[VIRTIO_QUEUES_MAX], config_signals, failures;
	const char *failure; /* what the device said last */
};

static inline void *driver_at(struct driver *d, uint64_t address)
{
	return d->memory.ranges[0].host + address;
}

/* 16-byte aligned, zeroed; goes round when the heap is used up, so a fuzzer may call it for ever. */
static inline uint64_t driver_alloc(struct driver *d, size_t size)
{
	if (size > DRIVER_MEMORY - DRIVER_HEAP)
		abort();
	if (d->heap + size > DRIVER_MEMORY)
		d->heap = DRIVER_HEAP;
	uint64_t address = d->heap;
	d->heap = (d->heap + size + 15) & ~15ull;
	memset(driver_at(d, address), 0, size);
	return address;
}

/* --- what the transport does ------------------------------------------------------------------------------- */

static inline void driver_signal_queue_(struct virtio_device *device, unsigned index)
{
	struct driver *d = device->transport;

	atomic_fetch_add(&d->queue_signals[index], 1);
	eventfd_write(d->signal_fd, 1);
}

static inline void driver_signal_config_(struct virtio_device *device)
{
	struct driver *d = device->transport;

	atomic_fetch_add(&d->config_signals, 1);
	eventfd_write(d->signal_fd, 1);
}

static inline void driver_fail_(struct virtio_device *device, const char *why)
{
	struct driver *d = device->transport;

	d->failure = why;
	atomic_fetch_add(&d->failures, 1);
	eventfd_write(d->signal_fd, 1);
}

/* Lays out one queue in memory and sets the device side to it, as the transport would after QueueReady. */
static inline bool driver_queue_start(struct driver *d, unsigned index, uint16_t size, bool event_idx)
{
	struct driver_queue *q = &d->queues[index];
	struct virtqueue *queue = &d->device->queues[index];
	uint64_t base = DRIVER_QUEUE_STEP * (index + 1);

	*q = (struct driver_queue){ .desc = base, .avail = base + 0x4000, .used = base + 0x8000, .size = size };
	memset(driver_at(d, base), 0, DRIVER_QUEUE_STEP);
	virtqueue_reset(queue);
	queue->memory = &d->memory;
	queue->size = size;
	queue->desc_address = q->desc;
	queue->avail_address = q->avail;
	queue->used_address = q->used;
	queue->event_idx = event_idx;
	return virtqueue_activate(queue);
}

/* Memory only, and a device that is not active yet. */
static inline void driver_init(struct driver *d, struct virtio_device *device)
{
	struct err err = ERR_INIT;

	*d = (struct driver){ .device = device,
			      .heap = DRIVER_HEAP,
			      .signal_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	if (guest_memory_create(&d->memory, DRIVER_MEMORY, &err) || d->signal_fd < 0)
		abort();
	device->transport = d;
	device->signal_queue = driver_signal_queue_;
	device->signal_config = driver_signal_config_;
	device->fail = driver_fail_;
	for (unsigned i = 0; i < device->queue_count; i++)
		device->kick_fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

#define DRIVER_EVENT_IDX (1ull << 29)

/* All queues at `queue_size`, or the device's maximum if that is smaller, then activate. */
static inline void driver_activate(struct driver *d, uint64_t features, uint16_t queue_size)
{
	struct virtio_device *device = d->device;
	uint16_t size = queue_size < device->ops->queue_size ? queue_size : device->ops->queue_size;

	for (unsigned i = 0; i < device->queue_count; i++)
		if (!driver_queue_start(d, i, size, features & DRIVER_EVENT_IDX))
			abort();
	pthread_mutex_lock(&device->lock);
	device->driver_features = features;
	device->active = true;
	if (device->ops->activate)
		device->ops->activate(device);
	pthread_mutex_unlock(&device->lock);
}

static inline void driver_start(struct driver *d, struct virtio_device *device, uint64_t features)
{
	driver_init(d, device);
	driver_activate(d, features, 256);
}

/* As the transport does when the driver writes 0 to the status. */
static inline void driver_reset(struct driver *d)
{
	struct virtio_device *device = d->device;

	pthread_mutex_lock(&device->lock);
	device->active = false;
	if (device->ops->reset)
		device->ops->reset(device);
	for (unsigned i = 0; i < device->queue_count; i++)
		virtqueue_reset(&device->queues[i]);
	pthread_mutex_unlock(&device->lock);
}

/* Resets and destroys the device, frees the memory. */
static inline void driver_stop(struct driver *d)
{
	struct virtio_device *device = d->device;
	unsigned count = device->queue_count;
	int fds[VIRTIO_QUEUES_MAX];

	if (device->active)
		driver_reset(d);
	memcpy(fds, device->kick_fds, sizeof fds);
	if (device->ops->destroy)
		device->ops->destroy(device);
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
	close(d->signal_fd);
	guest_memory_destroy(&d->memory);
}

/* --- what the driver does ---------------------------------------------------------------------------------- */

static inline void driver_set_descriptor(struct driver *d, unsigned index, uint16_t slot,
					 struct driver_descriptor value)
{
	memcpy(driver_at(d, d->queues[index].desc + slot * sizeof value), &value, sizeof value);
}

static inline uint16_t *driver_avail_(struct driver *d, unsigned index)
{
	return driver_at(d, d->queues[index].avail);
}

static inline uint16_t *driver_used_(struct driver *d, unsigned index)
{
	return driver_at(d, d->queues[index].used);
}

/* Makes the chain that begins at `head` available. */
static inline void driver_offer(struct driver *d, unsigned index, uint16_t head)
{
	struct driver_queue *q = &d->queues[index];
	uint16_t *avail = driver_avail_(d, index);

	__atomic_store_n(&avail[2 + q->avail_index % q->size], head, __ATOMIC_RELAXED);
	__atomic_store_n(&avail[1], ++q->avail_index, __ATOMIC_SEQ_CST);
}

/* A chain of these segments, offered; returns its head. */
static inline uint16_t driver_put(struct driver *d, unsigned index, unsigned count,
				  const struct driver_segment *segments)
{
	struct driver_queue *q = &d->queues[index];
	uint16_t head = q->next_free;

	for (unsigned i = 0; i < count; i++) {
		uint16_t slot = q->next_free, next = (uint16_t)((slot + 1) % q->size);
		uint16_t flags = (uint16_t)((segments[i].writable ? DRIVER_DESC_WRITE : 0) |
					    (i + 1 < count ? DRIVER_DESC_NEXT : 0));

		driver_set_descriptor(
			d, index, slot,
			(struct driver_descriptor){ segments[i].address, segments[i].length, flags, next });
		q->next_free = next;
	}
	driver_offer(d, index, head);
	return head;
}

/* The same through an indirect table, which takes one descriptor. */
static inline uint16_t driver_put_indirect(struct driver *d, unsigned index, unsigned count,
					   const struct driver_segment *segments)
{
	struct driver_queue *q = &d->queues[index];
	uint32_t length = (uint32_t)(count * sizeof(struct driver_descriptor));
	uint64_t address = driver_alloc(d, length);
	struct driver_descriptor *table = driver_at(d, address);
	uint16_t head = q->next_free;

	for (unsigned i = 0; i < count; i++)
		table[i] = (struct driver_descriptor){ segments[i].address, segments[i].length,
						       (uint16_t)((segments[i].writable ? DRIVER_DESC_WRITE : 0) |
								  (i + 1 < count ? DRIVER_DESC_NEXT : 0)),
						       (uint16_t)(i + 1) };
	driver_set_descriptor(d, index, head, (struct driver_descriptor){ address, length, DRIVER_DESC_INDIRECT, 0 });
	q->next_free = (uint16_t)((head + 1) % q->size);
	driver_offer(d, index, head);
	return head;
}

static inline void driver_kick(struct driver *d, unsigned index)
{
	struct virtio_device *device = d->device;

	if (device->own_kicks) {
		eventfd_write(device->kick_fds[index], 1);
		return;
	}
	pthread_mutex_lock(&device->lock);
	if (device->active && device->ops->queue_kicked)
		device->ops->queue_kicked(device, index);
	pthread_mutex_unlock(&device->lock);
}

/* The next used entry, if there is one. */
static inline bool driver_take(struct driver *d, unsigned index, uint32_t *head, uint32_t *written)
{
	struct driver_queue *q = &d->queues[index];
	uint16_t *used = driver_used_(d, index);
	uint32_t entry[2];

	if (__atomic_load_n(&used[1], __ATOMIC_ACQUIRE) == q->used_index)
		return false;
	memcpy(entry, (uint8_t *)used + 4 + 8 * (q->used_index % q->size), sizeof entry);
	q->used_index++;
	if (head)
		*head = entry[0];
	if (written)
		*written = entry[1];
	return true;
}

/* The same for devices with threads: waits up to `timeout_ms` for an interrupt between looks. */
static inline bool driver_wait(struct driver *d, unsigned index, uint32_t *head, uint32_t *written, int timeout_ms)
{
	while (!driver_take(d, index, head, written)) {
		struct pollfd ready = { .fd = d->signal_fd, .events = POLLIN };
		eventfd_t count;

		if (poll(&ready, 1, timeout_ms) <= 0)
			return driver_take(d, index, head, written);
		eventfd_read(d->signal_fd, &count);
	}
	return true;
}

/* Ring fields that some tests want to set or see. */
static inline void driver_set_avail_flags(struct driver *d, unsigned index, uint16_t flags)
{
	__atomic_store_n(&driver_avail_(d, index)[0], flags, __ATOMIC_SEQ_CST);
}

static inline void driver_set_avail_index(struct driver *d, unsigned index, uint16_t value)
{
	d->queues[index].avail_index = value;
	__atomic_store_n(&driver_avail_(d, index)[1], value, __ATOMIC_SEQ_CST);
}

static inline void driver_set_used_event(struct driver *d, unsigned index, uint16_t value)
{
	__atomic_store_n(&driver_avail_(d, index)[2 + d->queues[index].size], value, __ATOMIC_SEQ_CST);
}

static inline uint16_t driver_used_flags(struct driver *d, unsigned index)
{
	return driver_used_(d, index)[0];
}

/* The available index at which the device wants to be kicked. */
static inline uint16_t driver_avail_event(struct driver *d, unsigned index)
{
	return driver_used_(d, index)[2 + 4 * d->queues[index].size];
}

#endif
