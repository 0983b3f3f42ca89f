/* SPDX-License-Identifier: Apache-2.0 */
/*
 * touched.h - the pages of a template that a container's start writes to, copied all at once before the guest comes
 * upon them one by one.
 *
 * Each that it comes upon costs two or three exits and a fault of the host's; here it costs the copy. Which they are
 * was seen at an earlier start (runtime/template_touched.h). It is a hint from a file: runs that are no pages of this
 * VM are passed over, and wrong ones cost memory and time, both bounded.
 */
#ifndef BULKHEAD_TOUCHED_H
#define BULKHEAD_TOUCHED_H

#include <stddef.h>
#include <stdint.h>

struct guest_memory;

enum { TOUCHED_RUNS_MAX = 1024, TOUCHED_PAGES_MAX = 2048 };

/* The file is an array of these: `count` pages from page `first` on, numbered as in the template's file. */
struct touched_run {
	uint32_t first, count;
};

struct touched {
	struct touched_run *runs;
	size_t count;
};

/* Reads the list; an empty one if there is none. touched_copy frees it. */
void touched_read(struct touched *touched, int fd);

/* Copies the pages. Any thread that may call madvise, also while the guest runs. */
void touched_copy(struct touched *touched, const struct guest_memory *memory);

#endif
