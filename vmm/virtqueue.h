/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtqueue.h - a split virtqueue (virtio 1.2, section 2.7), device side, fed by a hostile driver.
 *
 * virtqueue_pop yields a chain that has been checked whole: head and links in range, no cycle, at most
 * VIRTQ_CHAIN_MAX segments, every segment inside guest memory and not empty, readable before writable, total length
 * bounded, indirect tables (one level) included. A queue that breaks a rule is `broken`: it yields nothing more until
 * the device is reset, and the device asks for that (DEVICE_NEEDS_RESET).
 *
 * Threads: one queue is used by one thread at a time; a device with several workers on a queue locks around each
 * call. Memory barriers are inside. Guest memory behind the segments may change while it is being read.
 */
#ifndef BULKHEAD_VIRTQUEUE_H
#define BULKHEAD_VIRTQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct guest_memory;

enum {
	VIRTQ_SIZE_MAX = 1024,
	VIRTQ_CHAIN_MAX = 272, /* a 1 MiB FUSE request of single pages, its headers and some room */
};
#define VIRTQ_CHAIN_BYTES_MAX (4ull << 20)

struct virtqueue {
	/* Set by the transport while the queue is not ready. */
	const struct guest_memory *memory;
	uint16_t size; /* power of two, at most size_max */
	uint16_t size_max;
	uint64_t bytes_max; /* of a chain; 0: VIRTQ_CHAIN_BYTES_MAX. Set by a device that only looks at addresses */
	uint64_t desc_address, avail_address, used_address;
	bool event_idx; /* VIRTIO_F_EVENT_IDX was negotiated */
	bool ready;
	bool broken;
	const char *why; /* the rule that was broken: text for device->fail */
	/* Where the three parts are, checked once by virtqueue_activate: valid while ready. */
	uint8_t *desc, *avail, *used;
	uint16_t next_avail; /* index of the next available entry */
	uint16_t next_used;
	uint16_t signalled_used; /* next_used when virtqueue_should_signal looked last */
	bool kick_disabled;
};

/* A chain: `readable` segments for the device to read, then `writable` ones. Pointers into guest memory. */
struct virtq_chain {
	uint16_t head;
	unsigned readable_count, writable_count;
	size_t readable_length, writable_length;
	struct iovec segments[VIRTQ_CHAIN_MAX]; /* readable ones first */
};

static inline const struct iovec *virtq_chain_readable(const struct virtq_chain *chain)
{
	return chain->segments;
}

static inline const struct iovec *virtq_chain_writable(const struct virtq_chain *chain)
{
	return chain->segments + chain->readable_count;
}

/* Checks size, alignment and that the three parts lie in memory; sets ready. False: refused, the queue stays unready.
 */
bool virtqueue_activate(struct virtqueue *queue);

/* Back to the state after power-on; keeps memory, size_max and bytes_max. */
void virtqueue_reset(struct virtqueue *queue);

/*
 * 1: a chain. 0: nothing available now; unless kicks are disabled, the driver will kick when it adds something.
 * -1: the driver broke the rules, the queue is broken; then call device->fail(device, queue->why).
 */
int virtqueue_pop(struct virtqueue *queue, struct virtq_chain *chain);

/* Whether virtqueue_pop would have something to say. */
bool virtqueue_has_more(const struct virtqueue *queue);

/* Puts back the chain popped last (device has no room for it now). */
void virtqueue_unpop(struct virtqueue *queue);

/* Gives the chain back with `written` bytes written into its writable segments. Visible to the driver at once. */
void virtqueue_push(struct virtqueue *queue, uint16_t head, uint32_t written);

/* After one or more pushes: does the driver want an interrupt? (2.7.7, 2.7.10) */
bool virtqueue_should_signal(struct virtqueue *queue);

/*
 * Turns driver notifications off while the device is polling the queue, and on again; on returns true if something
 * became available in between, so that the caller looks once more.
 */
void virtqueue_disable_kick(struct virtqueue *queue);
bool virtqueue_enable_kick(struct virtqueue *queue);

/* iovec.c */

/* Copy between a buffer and a list of segments, beginning `offset` bytes into them; return the bytes copied. */
size_t iovec_read(const struct iovec *segments, unsigned count, size_t offset, void *out, size_t length);
size_t iovec_write(const struct iovec *segments, unsigned count, size_t offset, const void *data, size_t length);

/* The part [offset, offset + length) of the segments as segments; returns how many went to `out` (at most max). */
unsigned iovec_slice(const struct iovec *segments, unsigned count, size_t offset, size_t length, struct iovec *out,
		     unsigned max);

#endif
