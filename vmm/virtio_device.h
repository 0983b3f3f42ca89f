/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_device.h - what a virtio device is to its transport, and the transport to a device.
 *
 * A device is written once against virtqueues and never knows the transport (virtio_mmio.c). It embeds a
 * struct virtio_device first and fills in `ops` and `queue_count`.
 *
 * Threads: feature negotiation, config space, activate and reset run on the thread that answers registers (a vCPU),
 * under `lock`. queue_kicked runs on the loop thread, under `lock` too, unless the device sets `own_kicks`: then it
 * gets the eventfds in activate and serves them with threads of its own. Guest memory and queues may be touched only
 * between activate and reset; reset returns only when no thread of the device touches them any more.
 */
#ifndef BULKHEAD_VIRTIO_DEVICE_H
#define BULKHEAD_VIRTIO_DEVICE_H

#include "vmm/virtqueue.h"

#include "common/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct loop;
struct guest_memory;
struct virtio_device;

enum { VIRTIO_QUEUES_MAX = 8 };

struct virtio_device_ops {
	const char *name;
	uint32_t device_id;  /* virtio 1.2 section 5 */
	uint64_t features;   /* device-specific bits offered; the transport adds VERSION_1, EVENT_IDX, INDIRECT_DESC */
	uint16_t queue_size; /* maximum of each queue */

	/* The queues in `device->queues` that the driver made ready are usable from now on. */
	void (*activate)(struct virtio_device *device);
	/* The driver has put something into queue `index`. */
	void (*queue_kicked)(struct virtio_device *device, unsigned index);
	/* Forget everything the driver said. NULL: nothing to forget. */
	void (*reset)(struct virtio_device *device);
	/* Config space; offset + length is inside `config_size`. NULL config_write: read-only. */
	size_t config_size;
	void (*config_read)(struct virtio_device *device, size_t offset, void *out, size_t length);
	void (*config_write)(struct virtio_device *device, size_t offset, const void *data, size_t length);
	void (*destroy)(struct virtio_device *device);
};

struct virtio_device {
	const struct virtio_device_ops *ops;
	unsigned queue_count;
	struct virtqueue queues[VIRTIO_QUEUES_MAX];
	int kick_fds[VIRTIO_QUEUES_MAX]; /* ioeventfds, made by the transport; -1 before that */
	bool own_kicks;
	/*
	 * InterruptStatus always says that a queue has something, as it must where somebody else writes to call_fd. The
	 * driver then looks into queues for nothing at times; in return it reads and acknowledges without leaving the
	 * guest or the host's kernel (see virtio_mmio_show).
	 */
	bool own_calls;
	int call_fd;              /* raises the device's interrupt; made by the transport; -1 before that */
	uint64_t driver_features; /* valid from activate on */
	bool active;
	/* Shared memory region 0 (2.10), guest physical; size 0: none. Set before the device is on a bus. */
	struct {
		uint64_t address, size;
	} shared;
	pthread_mutex_t lock;

	/* Set by the transport. Interrupts the driver; any thread. */
	void (*signal_queue)(struct virtio_device *device, unsigned index);
	/*
	 * Under `lock`: what config_read gives has changed, and the driver is told; or it has changed by the driver's
	 * own request, and need not be.
	 */
	void (*signal_config)(struct virtio_device *device);
	void (*show_config)(struct virtio_device *device);
	/* The driver broke the rules beyond repair: sets DEVICE_NEEDS_RESET, counts, logs one limited line. Any thread.
	 */
	void (*fail)(struct virtio_device *device, const char *why);
	void *transport;

	/* Counters for statistics, any thread. */
	atomic_ulong requests, refused;
	struct log_limit complaints;
};

/* Initialises lock and defaults; called first by each device's create. */
void virtio_device_init(struct virtio_device *device, const struct virtio_device_ops *ops, unsigned queue_count);

/* Mirror of init; called last by each device's destroy. */
void virtio_device_fini(struct virtio_device *device);

#endif
