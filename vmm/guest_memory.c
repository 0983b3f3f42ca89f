/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/guest_memory.h"

#include "common/err.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SIZE_LIMIT (1ull << 40) /* far above any host we know, far below where the sums here could wrap */

static const uint64_t first_given[] = { 0, 8ull << 20 };

/*
 * Small pages, unless asked otherwise: a huge page stays whole for as long as the guest uses 4 KiB of it. The
 * exceptions are where a Linux guest uses nearly all 4 KiB pages of 2 MiB before its first process runs, so that huge
 * pages cost little memory and each saves up to 511 exits: its array of struct page, 1/64 of all memory, which it puts
 * in one piece, 2 MiB aligned, as high as it fits below what else it takes before that; and the two stretches of low
 * memory that its page allocator gives out first. The loader adds the kernel's own (kernel_pages.h).
 */
static void choose_page_size(const struct guest_range *range, uint64_t total, bool is_last)
{
	uint64_t array = (total / 64 + GUEST_HUGE_PAGE - 1) & ~(GUEST_HUGE_PAGE - 1);

	for (unsigned i = 0; i < sizeof first_given / sizeof *first_given; i++)
		if (range->start <= first_given[i] && range->size >= first_given[i] - range->start + GUEST_HUGE_PAGE)
			madvise(range->host + (first_given[i] - range->start), GUEST_HUGE_PAGE, MADV_HUGEPAGE);
	if (is_last && range->size >= array + 2 * GUEST_HUGE_PAGE)
		madvise(range->host + range->size - GUEST_HUGE_PAGE - array, array, MADV_HUGEPAGE);
}

/* The host address is aligned to huge pages like the guest's, so that the one can be the other. */
static int map_range(struct guest_range *range, uint64_t start, uint64_t size, struct err *err)
{
	uint64_t room = size + GUEST_HUGE_PAGE, before, after;
	uint8_t *map = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (map == MAP_FAILED)
		return err_set_errno(err, "cannot map %llu MiB of guest memory", (unsigned long long)(size >> 20));
	before = -(uintptr_t)map & (GUEST_HUGE_PAGE - 1);
	after = GUEST_HUGE_PAGE - before;
	/* What is left over at both ends goes back: right before and behind guest memory there is nothing. */
	if (before)
		munmap(map, before);
	munmap(map + before + size, after);
	*range = (struct guest_range){ .start = start, .size = size, .host = map + before };
	return 0;
}

static int add_range(struct guest_memory *memory, uint64_t start, uint64_t size, struct err *err)
{
	if (map_range(&memory->ranges[memory->count], start, size, err))
		return -1;
	memory->count++;
	memory->size += size;
	return 0;
}

int guest_memory_create_plain(struct guest_memory *memory, uint64_t size, struct err *err)
{
	uint64_t low = size < GUEST_HOLE_START ? size : GUEST_HOLE_START;

	*memory = (struct guest_memory){ 0 };
	if (!size || size % GUEST_HUGE_PAGE || size > SIZE_LIMIT)
		return err_set(err, EINVAL, "guest memory of %llu bytes: not a multiple of 2 MiB, or too large",
			       (unsigned long long)size);
	memory->from_file = calloc(1, size / GUEST_HUGE_PAGE / 8 + 1);
	if (!memory->from_file)
		return err_set(err, ENOMEM, "out of memory");
	if (add_range(memory, 0, low, err)) {
		guest_memory_destroy(memory);
		return -1;
	}
	if (size > low && add_range(memory, GUEST_HOLE_END, size - low, err)) {
		guest_memory_destroy(memory);
		return -1;
	}
	for (unsigned i = 0; i < memory->count; i++)
		madvise(memory->ranges[i].host, memory->ranges[i].size, MADV_NOHUGEPAGE);
	return 0;
}

int guest_memory_create(struct guest_memory *memory, uint64_t size, struct err *err)
{
	if (guest_memory_create_plain(memory, size, err))
		return -1;
	for (unsigned i = 0; i < memory->count; i++)
		choose_page_size(&memory->ranges[i], size, i == memory->count - 1);
	return 0;
}

void guest_memory_use_huge_pages(struct guest_memory *memory)
{
	memory->huge_pages = true;
	for (unsigned i = 0; i < memory->count; i++)
		madvise(memory->ranges[i].host, memory->ranges[i].size, MADV_HUGEPAGE);
}

static bool has_bit(const uint8_t *bits, uint64_t n)
{
	return bits[n / 8] & 1u << n % 8;
}

void guest_memory_use_huge_pages_where(const struct guest_memory *memory, const uint8_t *needs_little)
{
	uint64_t base = 0;

	for (unsigned i = 0; i < memory->count; i++) {
		const struct guest_range *range = &memory->ranges[i];
		uint64_t count = range->size / GUEST_HUGE_PAGE;

		for (uint64_t first, n = 0; n < count; n++) {
			for (first = n;
			     n < count && !has_bit(memory->from_file, base + n) && !has_bit(needs_little, base + n);
			     n++)
				;
			/* As few calls as there are stretches: each may make a mapping of its own. */
			if (n > first)
				madvise(range->host + first * GUEST_HUGE_PAGE, (n - first) * GUEST_HUGE_PAGE,
					MADV_HUGEPAGE);
		}
		base += count;
	}
}

void guest_memory_note_file(const struct guest_memory *memory, const uint8_t *host, uint64_t length)
{
	uint64_t base = 0;

	for (unsigned i = 0; i < memory->count && length; i++) {
		const struct guest_range *range = &memory->ranges[i];

		if (host >= range->host && (uint64_t)(host - range->host) < range->size) {
			uint64_t first = (base + (uint64_t)(host - range->host)) / GUEST_HUGE_PAGE;
			uint64_t last = (base + (uint64_t)(host - range->host) + length - 1) / GUEST_HUGE_PAGE;

			for (uint64_t n = first; n <= last && n < memory->size / GUEST_HUGE_PAGE; n++)
				memory->from_file[n / 8] |= (uint8_t)(1u << n % 8);
			return;
		}
		base += range->size;
	}
}

bool guest_memory_is_from_file(const struct guest_memory *memory, uint64_t offset)
{
	return has_bit(memory->from_file, offset / GUEST_HUGE_PAGE);
}

void guest_memory_destroy(struct guest_memory *memory)
{
	free(memory->from_file);
	for (unsigned i = 0; i < memory->count; i++)
		munmap(memory->ranges[i].host, memory->ranges[i].size);
	if (memory->growth.host)
		munmap(memory->growth.host, memory->growth.size);
	*memory = (struct guest_memory){ 0 };
}

void guest_memory_drop(const struct guest_memory *memory)
{
	for (unsigned i = 0; i < memory->count; i++)
		madvise(memory->ranges[i].host, memory->ranges[i].size, MADV_DONTNEED);
	if (memory->growth.host)
		madvise(memory->growth.host, memory->growth.size, MADV_DONTNEED);
}

int guest_memory_reserve(struct guest_memory *memory, uint64_t start, uint64_t size, struct err *err)
{
	if (!size || size % GUEST_HUGE_PAGE || size > SIZE_LIMIT || start % GUEST_HUGE_PAGE)
		return err_set(err, EINVAL, "%llu bytes of memory to grow by: not a multiple of 2 MiB, or too large",
			       (unsigned long long)size);
	if (map_range(&memory->growth, start, size, err))
		return -1;
	/* As the rest of the guest's memory. */
	madvise(memory->growth.host, size, memory->huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	return 0;
}

/* Written so that nothing can wrap: the guest chose both numbers. NULL: not there. */
static void *at(const struct guest_range *range, uint64_t size, uint64_t address, uint64_t length)
{
	uint64_t offset = address - range->start;

	return address >= range->start && offset < size && length && length <= size - offset ? range->host + offset
											     : NULL;
}

void *guest_memory_at(const struct guest_memory *memory, uint64_t address, uint64_t length)
{
	for (unsigned i = 0; i < memory->count; i++) {
		void *found = at(&memory->ranges[i], memory->ranges[i].size, address, length);

		if (found)
			return found;
	}
	/* Acquire: whoever sees what was granted sees where it is. */
	uint64_t granted = atomic_load_explicit(&memory->granted, memory_order_acquire);

	return granted ? at(&memory->growth, granted, address, length) : NULL;
}

const void *guest_memory_readable_at(const struct guest_memory *memory, uint64_t address, uint64_t length)
{
	const void *host = guest_memory_at(memory, address, length);

	return host ? host : at(&memory->window, memory->window.size, address, length);
}

bool guest_memory_read(const struct guest_memory *memory, uint64_t address, void *out, size_t length)
{
	const void *from = guest_memory_at(memory, address, length);

	if (from)
		memcpy(out, from, length);
	return from;
}

bool guest_memory_write(const struct guest_memory *memory, uint64_t address, const void *data, size_t length)
{
	void *to = guest_memory_at(memory, address, length);

	if (to)
		memcpy(to, data, length);
	return to;
}
