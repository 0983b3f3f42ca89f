/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_balloon.c - free page reporting (virtio 1.2, section 5.5.6.7): what the guest's page allocator has no use for
 * is dropped here, and comes back as fresh memory, or as the template's, when the guest touches it again.
 *
 * The queues for inflating and deflating are there because they have to be; the balloon's size is 0 and stays so.
 *
 * A hostile guest can have its own memory dropped, at any moment and as often as it likes: KICK_BUDGET chains in a row,
 * after which the loop serves others. Every segment has been found inside guest memory by virtqueue_pop; of one that
 * does not begin or end at a page's border, the rest stays.
 */
#include "vmm/virtio_balloon.h"

#include "common/err.h"
#include "vmm/guest_memory.h"
#include "vmm/virtio_device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

enum { QUEUE_INFLATE, QUEUE_DEFLATE, QUEUE_REPORTING, QUEUE_COUNT };

enum {
	DEVICE_ID = 5,
	QUEUE_SIZE = 32, /* Linux reports as many blocks in one chain */
	KICK_BUDGET = 16,
	CONFIG_SIZE = 8, /* the size that is wanted, and the one that is: both 0 */
};

#define FEATURE_REPORTING (1ull << 5)

/* Linux reports blocks of up to 4 MiB. */
#define CHAIN_BYTES_MAX (QUEUE_SIZE * (4ull << 20))

struct virtio_balloon {
	struct virtio_device device;
};

/* --- requests ---------------------------------------------------------------------------------------------- */

static void drop(const struct iovec *segment)
{
	uintptr_t start = ((uintptr_t)segment->iov_base + GUEST_PAGE - 1) & ~(uintptr_t)(GUEST_PAGE - 1);
	uintptr_t end = ((uintptr_t)segment->iov_base + segment->iov_len) & ~(uintptr_t)(GUEST_PAGE - 1);

	/* What cannot be dropped (locked, or no memory for the kernel to do it) stays. */
	if (start < end)
		(void)madvise((void *)start, end - start, MADV_DONTNEED);
}

static void handle_request(unsigned index, const struct virtq_chain *chain)
{
	const struct iovec *segments = virtq_chain_writable(chain);

	if (index != QUEUE_REPORTING)
		return;
	for (unsigned i = 0; i < chain->writable_count; i++)
		drop(&segments[i]);
}

static void queue_kicked(struct virtio_device *device, unsigned index)
{
	struct virtqueue *queue = &device->queues[index];
	struct virtq_chain chain;
	unsigned budget = KICK_BUDGET;
	int popped = 0;

	while (budget-- && (popped = virtqueue_pop(queue, &chain)) > 0) {
		handle_request(index, &chain);
		virtqueue_push(queue, chain.head, 0);
		atomic_fetch_add_explicit(&device->requests, 1, memory_order_relaxed);
	}
	if (virtqueue_should_signal(queue))
		device->signal_queue(device, index);
	if (popped < 0)
		device->fail(device, queue->why);
	else if (popped > 0) /* there may be more: come back after the others */
		eventfd_write(device->kick_fds[index], 1);
}

static void config_read(struct virtio_device *device, size_t offset, void *out, size_t length)
{
	(void)device;
	(void)offset;
	memset(out, 0, length);
}

/* --- making ------------------------------------------------------------------------------------------------ */

static void destroy(struct virtio_device *device)
{
	virtio_device_fini(device);
	free(device);
}

static const struct virtio_device_ops balloon_ops = {
	.name = "virtio-balloon",
	.device_id = DEVICE_ID,
	.features = FEATURE_REPORTING,
	.queue_size = QUEUE_SIZE,
	.queue_kicked = queue_kicked,
	.config_size = CONFIG_SIZE,
	.config_read = config_read,
	.destroy = destroy,
};

struct virtio_device *virtio_balloon_create(struct err *err)
{
	struct virtio_balloon *balloon = malloc(sizeof *balloon);

	if (!balloon) {
		err_set(err, ENOMEM, "virtio-balloon: out of memory");
		return NULL;
	}
	virtio_device_init(&balloon->device, &balloon_ops, QUEUE_COUNT);
	balloon->device.queues[QUEUE_REPORTING].bytes_max = CHAIN_BYTES_MAX;
	return &balloon->device;
}
