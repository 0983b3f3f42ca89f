/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio_state.h"

#include "common/err.h"
#include "vmm/virtio_mmio.h"

#include <errno.h>
#include <sys/eventfd.h>

int virtio_state_save(struct virtio_mmio *mmio, struct virtio_saved *out, struct err *err)
{
	struct virtio_device *device = mmio->device;
	int result = 0;

	pthread_mutex_lock(&device->lock);
	*out = (struct virtio_saved){
		.device_id = device->ops->device_id,
		.state = mmio->state,
		.device_features_select = mmio->device_features_select,
		.driver_features_select = mmio->driver_features_select,
		.queue_select = mmio->queue_select,
		.interrupt_status = atomic_load(&mmio->interrupt_status),
		.generation = atomic_load(&mmio->generation),
		.queue_count = device->queue_count,
		.driver_features = mmio->driver_features,
	};
	if (atomic_load(&mmio->status) != virtio_mmio_status(mmio->state))
		result = err_set(err, EIO, "%s: its driver has failed", device->ops->name);
	for (unsigned i = 0; i < device->queue_count; i++) {
		const struct virtqueue *queue = &device->queues[i];

		if (queue->broken)
			result = err_set(err, EIO, "%s: its driver broke the rules", device->ops->name);
		out->queues[i] = (struct virtio_queue_saved){
			.desc_address = queue->desc_address,
			.avail_address = queue->avail_address,
			.used_address = queue->used_address,
			.size = queue->size,
			.next_avail = queue->next_avail,
			.next_used = queue->next_used,
			.signalled_used = queue->signalled_used,
			.ready = queue->ready,
			.event_idx = queue->event_idx,
			.kick_disabled = queue->kick_disabled,
		};
	}
	pthread_mutex_unlock(&device->lock);
	return result;
}

static int odd(const struct virtio_device *device, const char *what, struct err *err)
{
	return err_set(err, EBADMSG, "%s: the saved %s makes no sense", device->ops->name, what);
}

static int restore_queue(struct virtio_device *device, struct virtqueue *queue, const struct virtio_queue_saved *saved,
			 struct err *err)
{
	queue->desc_address = saved->desc_address;
	queue->avail_address = saved->avail_address;
	queue->used_address = saved->used_address;
	queue->size = saved->size;
	queue->event_idx = saved->event_idx != 0;
	queue->next_avail = saved->next_avail;
	queue->next_used = saved->next_used;
	queue->signalled_used = saved->signalled_used;
	queue->kick_disabled = saved->kick_disabled != 0;
	/* Any index will do, as any that a driver writes: where the rings are, and how large, is checked here. */
	if (saved->size > queue->size_max || (saved->ready && !virtqueue_activate(queue)))
		return odd(device, "queue", err);
	return 0;
}

int virtio_state_restore(struct virtio_mmio *mmio, const struct virtio_saved *saved, struct err *err)
{
	struct virtio_device *device = mmio->device;

	if (saved->device_id != device->ops->device_id || saved->queue_count != device->queue_count)
		return err_set(err, EBADMSG, "%s: the saved device is another one", device->ops->name);
	if (saved->state >= VIRTIO_STATE_COUNT || saved->state == VIRTIO_STATE_FAILED)
		return odd(device, "status", err);
	mmio->driver_features = saved->driver_features;
	if (saved->state >= VIRTIO_STATE_NEGOTIATED && !virtio_mmio_features_are_acceptable(mmio))
		return odd(device, "set of features", err);
	for (unsigned i = 0; i < device->queue_count; i++)
		if (restore_queue(device, &device->queues[i], &saved->queues[i], err))
			return -1;
	mmio->state = (enum virtio_state)saved->state;
	mmio->device_features_select = saved->device_features_select;
	mmio->driver_features_select = saved->driver_features_select;
	mmio->queue_select = saved->queue_select;
	atomic_store(&mmio->status, virtio_mmio_status(mmio->state));
	atomic_store(&mmio->interrupt_status, saved->interrupt_status);
	atomic_store(&mmio->generation, saved->generation);
	device->driver_features = mmio->state >= VIRTIO_STATE_NEGOTIATED ? saved->driver_features : 0;
	if (mmio->page)
		virtio_mmio_show(mmio, mmio->page);
	return 0;
}

void virtio_state_continue(struct virtio_mmio *mmio)
{
	struct virtio_device *device = mmio->device;

	if (mmio->state != VIRTIO_STATE_ACTIVE)
		return;
	pthread_mutex_lock(&device->lock);
	device->active = true;
	if (device->ops->activate)
		device->ops->activate(device);
	for (unsigned i = 0; i < device->queue_count; i++)
		if (device->kick_fds[i] >= 0 && virtqueue_has_more(&device->queues[i]))
			eventfd_write(device->kick_fds[i], 1);
	pthread_mutex_unlock(&device->lock);
}
