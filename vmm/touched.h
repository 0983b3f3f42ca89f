/* SPDX-License-Identifier: Apache-2.0 */
/*
 * touched.h - the pages that a container's start writes to in a VM that begins with a template: copied all at once
 * before the guest comes upon them one by one.
 *
 * Each that it comes upon costs two or three exits and a fault of the host's; here it costs the copy. Which they are
 * was seen at an earlier start (runtime/template_touched.h). It is a hint from a file: runs that are no pages of this
 * VM are passed over, and wrong ones cost memory and time, both bounded.
 *
 * What neither the template nor that start has used of the memory is for containers that need much: huge pages, as the
 * guest's page allocator takes a new block of 2 MiB and more when all that is smaller is in use, and then uses all of
 * it. Those who need little never come there, and have small pages: 4 KiB of memory for 4 KiB used.
 */
#ifndef BULKHEAD_TOUCHED_H
#define BULKHEAD_TOUCHED_H

#include <stddef.h>
#include <stdint.h>

struct guest_memory;

enum { TOUCHED_RUNS_MAX = 1024, TOUCHED_PAGES_MAX = 2048 };

/* The file is an array of these: `count` pages from page `first` on, numbered as in the template's memory. */
struct touched_run {
	uint32_t first, count;
};

struct touched {
	struct touched_run *runs;
	size_t count;
};

/* Reads the list; an empty one if there is none. touched_copy frees it. */
void touched_read(struct touched *touched, int fd);

/* Chooses between huge and small pages, before the guest runs. Without a list, or with one that ends early: small. */
void touched_choose_pages(const struct touched *touched, const struct guest_memory *memory);

/* Copies the pages. Any thread that may call madvise, also while the guest runs. */
void touched_copy(struct touched *touched, const struct guest_memory *memory);

#endif
