/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_rng.c - entropy device (virtio 1.2, section 5.4), fed by the host's getrandom(2).
 *
 * The guest offers buffers, the device fills them. The model for device files: see the order of its parts.
 *
 * A hostile guest can have random bytes and make this process fetch them: at most REQUEST_MAX for a buffer and
 * KICK_BUDGET buffers in a row, after which the loop serves others first. It cannot learn anything else: the bytes go
 * from the host's generator into its own buffers. It may change those at any time, and nothing here reads them.
 */
#include "vmm/virtio_rng.h"

#include "common/err.h"
#include "vmm/virtio_device.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>

enum {
	DEVICE_ID = 4,
	QUEUE_REQUEST = 0,
	QUEUE_COUNT,
	QUEUE_SIZE = 8,
	REQUEST_MAX = 4096, /* a larger buffer is filled in part, as section 5.4.6 allows */
	KICK_BUDGET = 16,
};

struct virtio_rng {
	struct virtio_device device;
};

/* --- requests ---------------------------------------------------------------------------------------------- */

/* Fills the chain; returns the bytes written. Readable segments have no meaning here and are left alone. */
static uint32_t handle_request(const struct virtq_chain *chain)
{
	uint8_t bytes[REQUEST_MAX];
	size_t length = chain->writable_length < sizeof bytes ? chain->writable_length : sizeof bytes;
	ssize_t got = getrandom(bytes, length, 0);

	if (got <= 0)
		return 0;
	return (uint32_t)iovec_write(virtq_chain_writable(chain), chain->writable_count, 0, bytes, (size_t)got);
}

static void queue_kicked(struct virtio_device *device, unsigned index)
{
	struct virtqueue *queue = &device->queues[index];
	struct virtq_chain chain;
	unsigned budget = KICK_BUDGET;
	int popped = 0;

	while (budget-- && (popped = virtqueue_pop(queue, &chain)) > 0) {
		virtqueue_push(queue, chain.head, handle_request(&chain));
		atomic_fetch_add_explicit(&device->requests, 1, memory_order_relaxed);
	}
	if (virtqueue_should_signal(queue))
		device->signal_queue(device, index);
	if (popped < 0)
		device->fail(device, queue->why);
	else if (popped > 0) /* there may be more: come back after the others */
		eventfd_write(device->kick_fds[index], 1);
}

/* --- making ------------------------------------------------------------------------------------------------ */

static void destroy(struct virtio_device *device)
{
	virtio_device_fini(device);
	free(device);
}

static const struct virtio_device_ops rng_ops = {
	.name = "virtio-rng",
	.device_id = DEVICE_ID,
	.queue_size = QUEUE_SIZE,
	.queue_kicked = queue_kicked,
	.destroy = destroy,
};

struct virtio_device *virtio_rng_create(struct err *err)
{
	struct virtio_rng *rng = malloc(sizeof *rng);

	if (!rng) {
		err_set(err, ENOMEM, "virtio-rng: out of memory");
		return NULL;
	}
	virtio_device_init(&rng->device, &rng_ops, QUEUE_COUNT);
	return &rng->device;
}
