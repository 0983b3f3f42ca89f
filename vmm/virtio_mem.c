/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_mem.c - the memory device (virtio 1.2, section 5.15): the driver plugs blocks until it has what was requested,
 * and unplugs what is more.
 *
 * A hostile guest can plug and unplug as it likes within the usable part, never more than was requested; KICK_BUDGET
 * requests in a row, after which the loop serves others. It can also use usable blocks that it has not plugged, or has
 * given back: they are memory of the same mapping, which is why VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE is not offered, and
 * what it takes so is bounded by the usable part and by the host's cgroup, as all its memory. Devices that have a
 * pointer into a block that is given back meanwhile read zeros there.
 */
#include "vmm/virtio_mem.h"

#include "common/err.h"
#include "vmm/virtio_device.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

enum { DEVICE_ID = 24, QUEUE_REQUESTS = 0, QUEUE_COUNT = 1, QUEUE_SIZE = 16, KICK_BUDGET = 16 };

enum request_type { PLUG, UNPLUG, UNPLUG_ALL, STATE };
enum response_type { ACK, NACK, BUSY, ERROR };
enum state_type { PLUGGED, UNPLUGGED, MIXED };

/* 5.15.6: struct virtio_mem_req, of which UNPLUG_ALL uses only the type */
struct request {
	uint16_t type, padding[3];
	uint64_t address;
	uint16_t blocks, padding2[3];
};
_Static_assert(sizeof(struct request) == 24, "as in the queue");

/* struct virtio_mem_resp; the state is there for STATE alone */
struct response {
	uint16_t type, padding[3];
	uint16_t state;
};
_Static_assert(sizeof(struct response) == 10, "as in the queue");

/* 5.15.4 */
struct config {
	uint64_t block_size;
	uint16_t node_id;
	uint8_t padding[6];
	uint64_t address, region_size, usable_region_size, plugged_size, requested_size;
};
_Static_assert(sizeof(struct config) == 56, "as the driver reads it");

struct virtio_mem {
	struct virtio_device device;
	uint8_t *host;
	/* Under device.lock. */
	struct config config;
	uint8_t *plugged; /* a bit for each block */
};

static struct virtio_mem *mem_of(struct virtio_device *device)
{
	return (struct virtio_mem *)device;
}

/* --- requests ---------------------------------------------------------------------------------------------- */

/* Blocks of the region by number. */
struct span {
	uint64_t first, count;
};

static bool is_plugged(const struct virtio_mem *mem, uint64_t block)
{
	return mem->plugged[block / 8] & 1u << block % 8;
}

static void mark(struct virtio_mem *mem, struct span span, bool plugged)
{
	for (uint64_t i = span.first; i < span.first + span.count; i++) {
		if (plugged)
			mem->plugged[i / 8] |= (uint8_t)(1u << i % 8);
		else
			mem->plugged[i / 8] &= (uint8_t) ~(1u << i % 8);
	}
}

static enum state_type state_of(const struct virtio_mem *mem, struct span span)
{
	uint64_t plugged = 0;

	for (uint64_t i = span.first; i < span.first + span.count; i++)
		plugged += is_plugged(mem, i);
	return plugged == span.count ? PLUGGED : plugged ? MIXED : UNPLUGGED;
}

/* What cannot be dropped stays the guest's: false. */
static bool drop(const struct virtio_mem *mem, struct span span)
{
	return !madvise(mem->host + span.first * VIRTIO_MEM_BLOCK, span.count * VIRTIO_MEM_BLOCK, MADV_DONTNEED);
}

static void set_plugged_size(struct virtio_mem *mem, uint64_t size)
{
	mem->config.plugged_size = size;
	mem->device.show_config(&mem->device);
}

static enum response_type plug(struct virtio_mem *mem, struct span span)
{
	const struct config *config = &mem->config;

	if (state_of(mem, span) != UNPLUGGED)
		return ERROR;
	/* Shrunk below what is plugged, the request is met, and so nothing can be added. */
	if (config->plugged_size >= config->requested_size ||
	    span.count * VIRTIO_MEM_BLOCK > config->requested_size - config->plugged_size)
		return NACK;
	mark(mem, span, true);
	set_plugged_size(mem, config->plugged_size + span.count * VIRTIO_MEM_BLOCK);
	return ACK;
}

static enum response_type unplug(struct virtio_mem *mem, struct span span)
{
	if (state_of(mem, span) != PLUGGED)
		return ERROR;
	if (!drop(mem, span))
		return BUSY;
	mark(mem, span, false);
	set_plugged_size(mem, mem->config.plugged_size - span.count * VIRTIO_MEM_BLOCK);
	return ACK;
}

static enum response_type unplug_all(struct virtio_mem *mem)
{
	const struct span all = { 0, mem->config.usable_region_size / VIRTIO_MEM_BLOCK };

	if (all.count && !drop(mem, all))
		return BUSY;
	mark(mem, all, false);
	set_plugged_size(mem, 0);
	return ACK;
}

/* False: it names what is not usable. The guest chose both numbers: nothing here can wrap. */
static bool read_span(const struct virtio_mem *mem, const struct request *request, struct span *span)
{
	uint64_t offset = request->address - mem->config.address, limit = mem->config.usable_region_size;

	if (request->address < mem->config.address || offset >= limit || offset % VIRTIO_MEM_BLOCK ||
	    !request->blocks || request->blocks > (limit - offset) / VIRTIO_MEM_BLOCK)
		return false;
	*span = (struct span){ offset / VIRTIO_MEM_BLOCK, request->blocks };
	return true;
}

static struct response answer(struct virtio_mem *mem, const struct request *request)
{
	struct response response = { .type = ERROR };
	struct span span;

	if (request->type == UNPLUG_ALL) {
		response.type = unplug_all(mem);
	} else if (request->type > STATE || !read_span(mem, request, &span)) {
		atomic_fetch_add_explicit(&mem->device.refused, 1, memory_order_relaxed);
	} else if (request->type == STATE) {
		response.type = ACK;
		response.state = state_of(mem, span);
	} else {
		response.type = request->type == PLUG ? plug(mem, span) : unplug(mem, span);
	}
	return response;
}

/* Returns the bytes written. A request that is cut off is none; a response without room is cut off. */
static uint32_t handle_request(struct virtio_mem *mem, const struct virtq_chain *chain)
{
	struct request request = { 0 };
	struct response response = { .type = ERROR };
	size_t least = offsetof(struct request, address);

	if (iovec_read(virtq_chain_readable(chain), chain->readable_count, 0, &request, sizeof request) >= least)
		response = answer(mem, &request);
	return (uint32_t)iovec_write(virtq_chain_writable(chain), chain->writable_count, 0, &response, sizeof response);
}

static void queue_kicked(struct virtio_device *device, unsigned index)
{
	struct virtqueue *queue = &device->queues[index];
	struct virtq_chain chain;
	unsigned budget = KICK_BUDGET;
	int popped = 0;

	while (budget-- && (popped = virtqueue_pop(queue, &chain)) > 0) {
		virtqueue_push(queue, chain.head, handle_request(mem_of(device), &chain));
		atomic_fetch_add_explicit(&device->requests, 1, memory_order_relaxed);
	}
	if (virtqueue_should_signal(queue))
		device->signal_queue(device, index);
	if (popped < 0)
		device->fail(device, queue->why);
	else if (popped > 0) /* there may be more: come back after the others */
		eventfd_write(device->kick_fds[index], 1);
}

/* --- the host's side --------------------------------------------------------------------------------------- */

void virtio_mem_request(struct virtio_device *device, uint64_t requested, uint64_t usable)
{
	struct virtio_mem *mem = mem_of(device);

	pthread_mutex_lock(&device->lock);
	if (usable > mem->config.usable_region_size)
		mem->config.usable_region_size = usable;
	mem->config.requested_size = requested;
	device->signal_config(device);
	pthread_mutex_unlock(&device->lock);
}

uint64_t virtio_mem_plugged(struct virtio_device *device)
{
	struct virtio_mem *mem = mem_of(device);
	uint64_t plugged;

	pthread_mutex_lock(&device->lock);
	plugged = mem->config.plugged_size;
	pthread_mutex_unlock(&device->lock);
	return plugged;
}

static void config_read(struct virtio_device *device, size_t offset, void *out, size_t length)
{
	memcpy(out, (const uint8_t *)&mem_of(device)->config + offset, length);
}

/* --- making ------------------------------------------------------------------------------------------------ */

static void destroy(struct virtio_device *device)
{
	struct virtio_mem *mem = mem_of(device);

	virtio_device_fini(device);
	free(mem->plugged);
	free(mem);
}

/* Plugged blocks stay plugged over a reset (5.15.6.3): the next driver begins with UNPLUG_ALL. */
static const struct virtio_device_ops mem_ops = {
	.name = "virtio-mem",
	.device_id = DEVICE_ID,
	.queue_size = QUEUE_SIZE,
	.queue_kicked = queue_kicked,
	.config_size = sizeof(struct config),
	.config_read = config_read,
	.destroy = destroy,
};

struct virtio_device *virtio_mem_create(uint64_t address, uint64_t size, uint8_t *host, struct err *err)
{
	struct virtio_mem *mem = calloc(1, sizeof *mem);
	uint8_t *plugged = calloc(size / VIRTIO_MEM_BLOCK / 8 + 1, 1);

	if (!mem || !plugged) {
		free(mem);
		free(plugged);
		err_set(err, ENOMEM, "virtio-mem: out of memory");
		return NULL;
	}
	virtio_device_init(&mem->device, &mem_ops, QUEUE_COUNT);
	mem->host = host;
	mem->plugged = plugged;
	mem->config = (struct config){ .block_size = VIRTIO_MEM_BLOCK, .address = address, .region_size = size };
	return &mem->device;
}
