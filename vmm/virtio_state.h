/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_state.h - a virtio device between two lives of a VM: the transport's registers and the queues' places.
 *
 * Devices keep nothing else that a snapshot is allowed to catch: it is taken while no request is under way and no
 * connection open. What is read back is checked as a driver's writes are.
 */
#ifndef BULKHEAD_VIRTIO_STATE_H
#define BULKHEAD_VIRTIO_STATE_H

#include "vmm/virtio_device.h"

#include <stdint.h>

struct err;
struct virtio_mmio;

struct virtio_queue_saved {
	uint64_t desc_address, avail_address, used_address;
	uint16_t size, next_avail, next_used, signalled_used;
	uint8_t ready, event_idx, kick_disabled, reserved[5];
};

struct virtio_saved {
	uint32_t device_id;
	uint32_t state; /* enum virtio_state */
	uint32_t device_features_select, driver_features_select, queue_select;
	uint32_t interrupt_status, generation, queue_count;
	uint64_t driver_features;
	struct virtio_queue_saved queues[VIRTIO_QUEUES_MAX];
};

/* Fails for a device that its driver has broken. No vCPU runs. */
int virtio_state_save(struct virtio_mmio *mmio, struct virtio_saved *out, struct err *err);

/* Into a device that no driver has seen. It stays as dead as it was until virtio_state_continue. */
int virtio_state_restore(struct virtio_mmio *mmio, const struct virtio_saved *saved, struct err *err);

/* Has the device go on: it looks into queues that have something. When its threads may run, before vCPUs do. */
void virtio_state_continue(struct virtio_mmio *mmio);

#endif
