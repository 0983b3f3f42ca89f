/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/snapshot_memory.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/fd_stat.h"
#include "vmm/guest_memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Two stretches of data this close become one: each is a mapping of its own. Doubled until there are few enough. */
#define FIRST_GAP (256ull << 10)

struct extents {
	struct snapshot_extent *items; /* free() it */
	size_t count, room;
};

static bool page_is_zero(const uint8_t *page)
{
	/* The first word decides nearly always; then the page against itself, moved by one word. */
	uint64_t first;

	memcpy(&first, page, sizeof first);
	return !first && !memcmp(page, page + sizeof first, GUEST_PAGE - sizeof first);
}

static int add_extent(struct extents *extents, uint64_t offset, uint64_t length, struct err *err)
{
	struct snapshot_extent *last = extents->count ? &extents->items[extents->count - 1] : NULL;

	if (last && offset - (last->offset + last->length) < FIRST_GAP) {
		last->length = offset + length - last->offset;
		return 0;
	}
	if (extents->count == extents->room) {
		size_t room = extents->room ? extents->room * 2 : 64;
		struct snapshot_extent *items = realloc(extents->items, room * sizeof *items);

		if (!items)
			return err_set(err, ENOMEM, "out of memory");
		extents->items = items;
		extents->room = room;
	}
	extents->items[extents->count++] = (struct snapshot_extent){ offset, length };
	return 0;
}

static void merge(struct extents *extents)
{
	for (uint64_t gap = FIRST_GAP * 2; extents->count > SNAPSHOT_EXTENTS_MAX; gap *= 2) {
		size_t kept = 0;

		for (size_t i = 1; i < extents->count; i++) {
			struct snapshot_extent *last = &extents->items[kept], *next = &extents->items[i];

			if (next->offset - (last->offset + last->length) < gap)
				last->length = next->offset + next->length - last->offset;
			else
				extents->items[++kept] = *next;
		}
		extents->count = kept + 1;
	}
}

static int write_all(int fd, const uint8_t *data, uint64_t length, uint64_t offset, struct err *err)
{
	while (length) {
		ssize_t n = pwrite(fd, data, length, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set_errno(err, "cannot write the machine's memory");
		data += n;
		offset += (uint64_t)n;
		length -= (uint64_t)n;
	}
	return 0;
}

/*
 * Which pages of anonymous memory were ever touched, as /proc/self/pagemap has it: looking at the others would fill the
 * page tables of a machine that is mostly empty. Of 2 MiB at a time.
 */
struct touched {
	const struct guest_memory *memory;
	int fd; /* -1: look at all */
	uint64_t block;
	uint64_t entries[GUEST_HUGE_PAGE / GUEST_PAGE];
	bool is_known; /* `entries` are of this block, and say what they should */
};

#define PAGEMAP_USED (3ull << 62) /* in memory, or swapped out */

static bool is_untouched(struct touched *touched, const struct guest_range *range, uint64_t base, uint64_t offset)
{
	uint64_t block = (base + offset) / GUEST_HUGE_PAGE;
	uintptr_t page = ((uintptr_t)range->host + offset / GUEST_HUGE_PAGE * GUEST_HUGE_PAGE) / GUEST_PAGE;

	if (block != touched->block) {
		touched->block = block;
		touched->is_known =
			touched->fd >= 0 && !guest_memory_is_from_file(touched->memory, base + offset) &&
			pread(touched->fd, touched->entries, sizeof touched->entries,
			      (off_t)(page * sizeof touched->entries[0])) == (ssize_t)sizeof touched->entries;
	}
	return touched->is_known && !(touched->entries[offset % GUEST_HUGE_PAGE / GUEST_PAGE] & PAGEMAP_USED);
}

/* `base`: where the range begins in the file. */
static int save_range(const struct guest_range *range, uint64_t base, struct touched *touched, int fd,
		      struct extents *extents, struct err *err)
{
	uint64_t start, end = 0;

	for (;;) {
		for (start = end; start < range->size &&
				  (is_untouched(touched, range, base, start) || page_is_zero(range->host + start));
		     start += GUEST_PAGE)
			;
		if (start == range->size)
			return 0;
		for (end = start + GUEST_PAGE;
		     end < range->size && !is_untouched(touched, range, base, end) && !page_is_zero(range->host + end);
		     end += GUEST_PAGE)
			;
		if (write_all(fd, range->host + start, end - start, base + start, err) ||
		    add_extent(extents, base + start, end - start, err))
			return -1;
	}
}

static uint64_t sum_part(const struct guest_range *range, uint64_t base, const struct snapshot_extent *extent)
{
	uint64_t start = extent->offset > base ? extent->offset : base;
	uint64_t end = extent->offset + extent->length, limit = base + range->size;

	end = end < limit ? end : limit;
	return start < end ? snapshot_sum(range->host + (start - base), end - start) : 0;
}

static uint64_t sum_extent(const struct guest_memory *memory, const struct snapshot_extent *extent)
{
	uint64_t base = 0, sum = 0;

	for (unsigned i = 0; i < memory->count; i++) {
		sum = sum * 3 + sum_part(&memory->ranges[i], base, extent);
		base += memory->ranges[i].size;
	}
	return sum;
}

static int save_sums(const struct guest_memory *memory, const struct extents *extents, struct snapshot_writer *writer,
		     struct err *err)
{
	uint64_t *sums = snapshot_add(writer, SNAPSHOT_SUMS, 0, extents->count * sizeof *sums);

	if (!sums)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < extents->count; i++)
		sums[i] = sum_extent(memory, &extents->items[i]);
	return 0;
}

int snapshot_check_memory(const struct guest_memory *memory, const struct snapshot *snapshot, struct err *err)
{
	size_t count, sum_count;
	const struct snapshot_extent *extents = snapshot_find_extents(snapshot, memory->size, &count, err);
	const uint64_t *sums = extents ? snapshot_find_array(snapshot, SNAPSHOT_SUMS, 0, sizeof *sums,
							     SNAPSHOT_EXTENTS_MAX, &sum_count, err)
				       : NULL;

	if (!sums)
		return -1;
	if (sum_count != count)
		return err_set(err, EBADMSG, "the state's list of checksums makes no sense");
	for (size_t i = 0; i < count; i++)
		if (sums[i] != sum_extent(memory, &extents[i]))
			return err_set(err, EBADMSG, "the checksum of the saved memory is wrong: the image is damaged");
	return 0;
}

int snapshot_save_memory(const struct guest_memory *memory, int pagemap_fd, int fd, bool with_sums,
			 struct snapshot_writer *writer, struct err *err)
{
	struct touched touched = { .memory = memory, .fd = pagemap_fd, .block = UINT64_MAX };
	struct stat status = { 0 };
	struct extents extents = { 0 };
	uint64_t base = 0;
	int result = 0;

	if (memory->growth.host)
		return err_set(err, ENOTSUP,
			       "the memory of a virtual machine that has grown (`update`, a pod's later "
			       "containers) cannot be saved");
	/* Something may be behind it already. */
	if (fd_stat(fd, &status) || (status.st_size < (off_t)memory->size && ftruncate(fd, (off_t)memory->size)))
		return err_set_errno(err, "cannot make a file as large as the machine's memory");
	for (unsigned i = 0; i < memory->count && !result; i++) {
		result = save_range(&memory->ranges[i], base, &touched, fd, &extents, err);
		base += memory->ranges[i].size;
	}
	if (!result) {
		void *list;

		merge(&extents);
		list = snapshot_add(writer, SNAPSHOT_EXTENTS, 0, extents.count * sizeof *extents.items);
		if (list && extents.count)
			memcpy(list, extents.items, extents.count * sizeof *extents.items);
		if (with_sums)
			result = save_sums(memory, &extents, writer, err);
	}
	free(extents.items);
	return result;
}

/* The part of an extent that is in this range, over the anonymous memory that is there. */
static int map_part(const struct guest_memory *memory, const struct guest_range *range, uint64_t base,
		    const struct snapshot_extent *extent, int fd, struct err *err)
{
	uint64_t start = extent->offset > base ? extent->offset : base;
	uint64_t end = extent->offset + extent->length, limit = base + range->size;

	end = end < limit ? end : limit;
	if (start >= end)
		return 0;
	if (mmap(range->host + (start - base), end - start, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, (off_t)start) == MAP_FAILED)
		return err_set_errno(err, "cannot map the saved memory");
	guest_memory_note_file(memory, range->host + (start - base), end - start);
	return 0;
}

int snapshot_map_memory(struct guest_memory *memory, uint64_t size, int fd, bool at_least,
			const struct snapshot *snapshot, struct err *err)
{
	const struct snapshot_extent *extents;
	struct stat status;
	size_t count;
	uint64_t base = 0;

	if (fd_stat(fd, &status) || !S_ISREG(status.st_mode) || (uint64_t)status.st_size < size ||
	    (!at_least && (uint64_t)status.st_size != size))
		return err_set(err, EBADMSG, "the saved memory is not a file of %llu bytes", (unsigned long long)size);
	extents = snapshot_find_extents(snapshot, size, &count, err);
	if (!extents || guest_memory_create_plain(memory, size, err))
		return -1;
	for (unsigned i = 0; i < memory->count; i++) {
		for (size_t n = 0; n < count; n++)
			if (map_part(memory, &memory->ranges[i], base, &extents[n], fd, err)) {
				guest_memory_destroy(memory);
				return -1;
			}
		base += memory->ranges[i].size;
	}
	return 0;
}
