/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/touched.h"

#include "common/auto.h"
#include "common/log.h"
#include "vmm/guest_memory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

void touched_read(struct touched *touched, int fd)
{
	const size_t room = TOUCHED_RUNS_MAX * sizeof *touched->runs;
	ssize_t n;

	*touched = (struct touched){ .runs = malloc(room) };
	n = touched->runs ? pread(fd, touched->runs, room, 0) : -1;
	touched->count = n > 0 ? (size_t)n / sizeof *touched->runs : 0;
}

/* Where the run is in this process; NULL if it is not memory of one range. */
static void *find(const struct guest_memory *memory, const struct touched_run *run)
{
	uint64_t offset = run->first * GUEST_PAGE, length = run->count * GUEST_PAGE;

	for (unsigned i = 0; i < memory->count; i++) {
		const struct guest_range *range = &memory->ranges[i];

		if (offset < range->size)
			return length <= range->size - offset ? range->host + offset : NULL;
		offset -= range->size;
	}
	return NULL;
}

/* A full list may lack what is behind its end. */
static bool is_whole(const struct touched *touched)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < touched->count; i++)
		pages += touched->runs[i].count;
	return touched->count && touched->count < TOUCHED_RUNS_MAX && pages < TOUCHED_PAGES_MAX;
}

void touched_choose_pages(const struct touched *touched, const struct guest_memory *memory)
{
	uint64_t blocks = memory->size / GUEST_HUGE_PAGE;
	auto_free uint8_t *needs_little = calloc(1, blocks / 8 + 1);

	if (!needs_little || !is_whole(touched))
		return;
	for (size_t i = 0; i < touched->count; i++) {
		const struct touched_run *run = &touched->runs[i];
		uint64_t first = run->first * GUEST_PAGE / GUEST_HUGE_PAGE;
		uint64_t end = (run->first + (uint64_t)run->count) * GUEST_PAGE;

		for (uint64_t n = first; n < blocks && n * GUEST_HUGE_PAGE < end; n++)
			needs_little[n / 8] |= (uint8_t)(1u << n % 8);
	}
	guest_memory_use_huge_pages_where(memory, needs_little);
}

void touched_copy(struct touched *touched, const struct guest_memory *memory)
{
	uint64_t pages = 0, copied = 0;

	for (size_t i = 0; i < touched->count; i++) {
		void *at = find(memory, &touched->runs[i]);

		pages += touched->runs[i].count;
		/* A kernel that does not know this does not know the next one either. */
		if (pages > TOUCHED_PAGES_MAX ||
		    (at && madvise(at, touched->runs[i].count * GUEST_PAGE, MADV_POPULATE_WRITE)))
			break;
		copied += at ? touched->runs[i].count : 0;
	}
	if (copied)
		log_debug("template: %" PRIu64 " pages copied before the guest needs them", copied);
	free(touched->runs);
	*touched = (struct touched){ 0 };
}
