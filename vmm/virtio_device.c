/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio_device.h"

/* A device that no transport has taken yet talks to nobody. */
static void signal_nobody(struct virtio_device *device, unsigned index)
{
	(void)device;
	(void)index;
}

static void signal_config_to_nobody(struct virtio_device *device)
{
	(void)device;
}

static void fail_unseen(struct virtio_device *device, const char *why)
{
	(void)why;
	atomic_fetch_add_explicit(&device->refused, 1, memory_order_relaxed);
}

void virtio_device_init(struct virtio_device *device, const struct virtio_device_ops *ops, unsigned queue_count)
{
	*device = (struct virtio_device){
		.ops = ops,
		.queue_count = queue_count,
		.call_fd = -1,
		.signal_queue = signal_nobody,
		.signal_config = signal_config_to_nobody,
		.show_config = signal_config_to_nobody,
		.fail = fail_unseen,
	};
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		device->kick_fds[i] = -1;
	for (unsigned i = 0; i < queue_count; i++)
		device->queues[i].size_max = ops->queue_size;
	pthread_mutex_init(&device->lock, NULL);
}

void virtio_device_fini(struct virtio_device *device)
{
	pthread_mutex_destroy(&device->lock);
}
