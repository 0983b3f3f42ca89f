/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver that writes anything anywhere in its rings. Whatever virtqueue_pop yields must keep the promise of
 * vmm/virtqueue.h; the sanitizers see the rest.
 *
 * Input: byte 0 the size and features, then the bytes of the guest's first 64 KiB from the descriptor table on.
 *
 * Covers: vmm/virtqueue.c
 */
#include "tests/unit/virtq_driver.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct virtio_device_ops plain_ops = { .name = "plain", .queue_size = VIRTQ_SIZE_MAX };

static struct virtio_device device;
static struct driver driver;

static void check_segments(const struct iovec *segments, unsigned count, size_t length)
{
	const uint8_t *memory = driver.memory.ranges[0].host;
	size_t sum = 0;

	for (unsigned i = 0; i < count; i++) {
		const uint8_t *start = segments[i].iov_base;

		assert(segments[i].iov_len && start >= memory);
		assert((size_t)(start - memory) + segments[i].iov_len <= DRIVER_MEMORY);
		sum += segments[i].iov_len;
	}
	assert(sum == length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct virtq_chain chain;

	if (!device.ops) {
		virtio_device_init(&device, &plain_ops, 1);
		driver_init(&driver, &device);
	}
	if (size < 1)
		return 0;

	uint16_t queue_size = (uint16_t)(1u << (data[0] & 7));
	struct virtqueue *queue = &device.queues[0];

	if (!driver_queue_start(&driver, 0, queue_size, data[0] & 8))
		abort();
	if (data[0] & 16)
		virtqueue_disable_kick(queue);
	data++;
	size--;
	/* Close together, so that short inputs reach all three parts. */
	virtqueue_reset(queue);
	queue->size = queue_size;
	queue->desc_address = 0x1000;
	queue->avail_address = 0x1000 + 16u * queue_size;
	queue->used_address = 0x9000;
	queue->memory = &driver.memory;
	if (!virtqueue_activate(queue))
		abort();
	memset(driver_at(&driver, 0x1000), 0, 0xa000);
	memcpy(driver_at(&driver, 0x1000), data, size < 0x8000 ? size : 0x8000);

	for (unsigned i = 0; i < 512; i++) {
		int result = virtqueue_pop(queue, &chain);

		if (result <= 0) {
			assert(queue->broken == (result < 0) && !queue->why == !queue->broken);
			break;
		}
		assert(chain.head < queue_size && chain.readable_count + chain.writable_count <= VIRTQ_CHAIN_MAX);
		assert(chain.readable_count + chain.writable_count > 0);
		assert(chain.readable_length + chain.writable_length <= VIRTQ_CHAIN_BYTES_MAX);
		check_segments(virtq_chain_readable(&chain), chain.readable_count, chain.readable_length);
		check_segments(virtq_chain_writable(&chain), chain.writable_count, chain.writable_length);
		/* Reading every byte is what a device may do; writing may rewrite the rings, as a guest can arrange. */
		if (chain.writable_count)
			*(uint8_t *)virtq_chain_writable(&chain)->iov_base = 0xa5;
		virtqueue_push(queue, chain.head, (uint32_t)chain.writable_length);
		virtqueue_should_signal(queue);
	}
	virtqueue_enable_kick(queue);
	return 0;
}
