/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only code that reads descriptors. Each number of the driver's is read from guest memory once, into a local, and
 * the local is what gets checked and used: the guest may change its memory between any two reads.
 *
 * Section numbers are virtio 1.2's.
 */
#include "vmm/virtqueue.h"

#include "vmm/guest_memory.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rings are little-endian and read without conversion");

/* 2.7.5: struct virtq_desc */
struct descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags;
	uint16_t next;
};
_Static_assert(sizeof(struct descriptor) == 16, "as on the ring");

enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };
enum { AVAIL_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1 };

/* 2.7.6 and 2.7.8: offsets in the available and the used ring; both end with the other side's event index. */
enum { RING_FLAGS = 0, RING_INDEX = 2, RING_ENTRIES = 4 };
enum { AVAIL_ENTRY = 2, USED_ENTRY = 8 };

static size_t avail_length(uint16_t size)
{
	return RING_ENTRIES + (size_t)AVAIL_ENTRY * size + 2;
}

static size_t used_length(uint16_t size)
{
	return RING_ENTRIES + (size_t)USED_ENTRY * size + 2;
}

/* Alignment is checked by virtqueue_activate, so that these are single accesses. */
static uint16_t load16(const uint8_t *at, int order)
{
	return __atomic_load_n((const uint16_t *)(const void *)at, order);
}

static void store16(uint8_t *at, uint16_t value, int order)
{
	__atomic_store_n((uint16_t *)(void *)at, value, order);
}

static struct descriptor read_descriptor(const uint8_t *table, unsigned index)
{
	struct descriptor copy;

	memcpy(&copy, table + index * sizeof copy, sizeof copy);
	/* Later uses must be of this copy: keep the compiler from reading guest memory again. */
	__asm__ volatile("" ::: "memory");
	return copy;
}

static int refuse(struct virtqueue *queue, const char *why)
{
	queue->broken = true;
	queue->why = why;
	return -1;
}

bool virtqueue_activate(struct virtqueue *queue)
{
	uint16_t size = queue->size;

	if (queue->ready || !queue->memory || !size || size > VIRTQ_SIZE_MAX || size > queue->size_max ||
	    size & (size - 1))
		return false;
	if (queue->desc_address % 16 || queue->avail_address % 2 || queue->used_address % 4)
		return false;
	queue->desc = guest_memory_at(queue->memory, queue->desc_address, size * sizeof(struct descriptor));
	queue->avail = guest_memory_at(queue->memory, queue->avail_address, avail_length(size));
	queue->used = guest_memory_at(queue->memory, queue->used_address, used_length(size));
	if (!queue->desc || !queue->avail || !queue->used)
		return false;
	queue->ready = true;
	return true;
}

void virtqueue_reset(struct virtqueue *queue)
{
	*queue = (struct virtqueue){ .memory = queue->memory,
				     .size_max = queue->size_max,
				     .bytes_max = queue->bytes_max };
}

static int add_segment(struct virtqueue *queue, struct virtq_chain *chain, const struct descriptor *desc)
{
	unsigned count = chain->readable_count + chain->writable_count;
	bool writes = desc->flags & DESC_WRITE;
	const void *host = writes ? guest_memory_at(queue->memory, desc->address, desc->length)
				  : guest_memory_readable_at(queue->memory, desc->address, desc->length);

	if (count == VIRTQ_CHAIN_MAX)
		return refuse(queue, "a chain is too long, or a circle");
	if (!desc->length)
		return refuse(queue, "a segment is empty");
	if (!host)
		return refuse(queue, "a segment is not in memory");
	if (chain->readable_length + chain->writable_length + desc->length >
	    (queue->bytes_max ? queue->bytes_max : VIRTQ_CHAIN_BYTES_MAX))
		return refuse(queue, "a chain has too many bytes");
	if (writes) {
		chain->writable_count++;
		chain->writable_length += desc->length;
	} else {
		if (chain->writable_count)
			return refuse(queue, "a readable segment follows a writable one");
		chain->readable_count++;
		chain->readable_length += desc->length;
	}
	chain->segments[count] = (struct iovec){ .iov_base = (void *)(uintptr_t)host, .iov_len = desc->length };
	return 0;
}

/*
 * Follows the chain from `index` through a table of `size` descriptors. Stops at the end, or at an indirect descriptor,
 * which it leaves in `*indirect`. A circle ends at the segment limit at the latest, so it needs no marks.
 */
static int walk(struct virtqueue *queue, struct virtq_chain *chain, const uint8_t *table, unsigned size, unsigned index,
		struct descriptor *indirect)
{
	for (unsigned seen = 0; seen < size; seen++) {
		struct descriptor desc = read_descriptor(table, index);

		if (desc.flags & DESC_INDIRECT) {
			if (!indirect)
				return refuse(queue, "an indirect table holds another");
			if (desc.flags & DESC_NEXT)
				return refuse(queue, "a descriptor is indirect and has a next");
			*indirect = desc;
			return 0;
		}
		if (add_segment(queue, chain, &desc))
			return -1;
		if (!(desc.flags & DESC_NEXT))
			return 0;
		index = desc.next;
		if (index >= size)
			return refuse(queue, "a link is out of range");
	}
	return refuse(queue, "a chain is too long, or a circle");
}

static int read_chain(struct virtqueue *queue, struct virtq_chain *chain)
{
	struct descriptor indirect = { 0 };

	chain->readable_count = chain->writable_count = 0;
	chain->readable_length = chain->writable_length = 0;
	if (walk(queue, chain, queue->desc, queue->size, chain->head, &indirect))
		return -1;
	if (indirect.flags & DESC_INDIRECT) {
		/* 2.7.5.3.2: the table comes last in the chain, and its own WRITE flag means nothing. */
		const uint8_t *table = guest_memory_at(queue->memory, indirect.address, indirect.length);

		if (!indirect.length || indirect.length % sizeof(struct descriptor))
			return refuse(queue, "an indirect table has an odd length");
		if (!table)
			return refuse(queue, "an indirect table is not in memory");
		if (walk(queue, chain, table, indirect.length / sizeof(struct descriptor), 0, NULL))
			return -1;
	}
	return 1;
}

/* 2.7.10: the driver notifies when it adds the entry with this index. */
static void ask_for_kick(struct virtqueue *queue)
{
	store16(queue->used + RING_ENTRIES + (size_t)USED_ENTRY * queue->size, queue->next_avail, __ATOMIC_RELAXED);
	/* The driver adds, then reads our index; we write our index, then look for what was added: one must see the
	 * other. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

int virtqueue_pop(struct virtqueue *queue, struct virtq_chain *chain)
{
	if (!queue->ready)
		return 0;
	if (queue->broken)
		return -1;

	/* Acquire: entries and descriptors are read after the index that announced them. */
	uint16_t added = load16(queue->avail + RING_INDEX, __ATOMIC_ACQUIRE);

	if (added == queue->next_avail && queue->event_idx && !queue->kick_disabled) {
		ask_for_kick(queue);
		added = load16(queue->avail + RING_INDEX, __ATOMIC_ACQUIRE);
	}

	uint16_t waiting = (uint16_t)(added - queue->next_avail);
	uint16_t slot = queue->next_avail & (queue->size - 1);

	if (!waiting)
		return 0;
	if (waiting > queue->size)
		return refuse(queue, "the available index jumped");
	chain->head = load16(queue->avail + RING_ENTRIES + (size_t)AVAIL_ENTRY * slot, __ATOMIC_RELAXED);
	if (chain->head >= queue->size)
		return refuse(queue, "a head is out of range");
	queue->next_avail++;
	return read_chain(queue, chain);
}

bool virtqueue_has_more(const struct virtqueue *queue)
{
	return queue->ready && !queue->broken &&
	       load16(queue->avail + RING_INDEX, __ATOMIC_ACQUIRE) != queue->next_avail;
}

void virtqueue_unpop(struct virtqueue *queue)
{
	queue->next_avail--;
}

void virtqueue_push(struct virtqueue *queue, uint16_t head, uint32_t written)
{
	uint16_t slot = queue->next_used & (queue->size - 1);
	uint32_t entry[2] = { head, written };

	if (!queue->ready)
		return;
	memcpy(queue->used + RING_ENTRIES + (size_t)USED_ENTRY * slot, entry, sizeof entry);
	/* Release: the driver sees entry and data before the index that announces them. */
	store16(queue->used + RING_INDEX, ++queue->next_used, __ATOMIC_RELEASE);
}

bool virtqueue_should_signal(struct virtqueue *queue)
{
	uint16_t old = queue->signalled_used, now = queue->next_used;

	if (!queue->ready || old == now)
		return false;
	queue->signalled_used = now;
	/* The driver sets its wish, then looks for used entries; we add entries, then read its wish. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!queue->event_idx)
		return !(load16(queue->avail + RING_FLAGS, __ATOMIC_RELAXED) & AVAIL_NO_INTERRUPT);

	/* 2.7.10: has our index passed the one the driver waits for, since it was asked last? */
	uint16_t event = load16(queue->avail + RING_ENTRIES + (size_t)AVAIL_ENTRY * queue->size, __ATOMIC_RELAXED);

	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

void virtqueue_disable_kick(struct virtqueue *queue)
{
	queue->kick_disabled = true;
	/* With event indexes nothing is to be written: the index asked for last lies behind. */
	if (queue->ready && !queue->event_idx)
		store16(queue->used + RING_FLAGS, USED_NO_NOTIFY, __ATOMIC_RELAXED);
}

bool virtqueue_enable_kick(struct virtqueue *queue)
{
	queue->kick_disabled = false;
	if (!queue->ready || queue->broken)
		return false;
	if (queue->event_idx) {
		ask_for_kick(queue);
	} else {
		store16(queue->used + RING_FLAGS, 0, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_SEQ_CST); /* as in ask_for_kick */
	}
	return load16(queue->avail + RING_INDEX, __ATOMIC_ACQUIRE) != queue->next_avail;
}
