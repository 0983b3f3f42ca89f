/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel_pages.h - which 2 MiB pages of its image a kernel writes to nearly everywhere while it boots.
 *
 * Its data, plainly; and its code: alternatives, static calls and jump labels are patched in most pages of it. Such a
 * 2 MiB page is better copied in one piece than mapped from the file: else each 4 KiB costs an exit at the first read
 * and another at the first write, which copies it anyway.
 */
#ifndef BULKHEAD_KERNEL_PAGES_H
#define BULKHEAD_KERNEL_PAGES_H

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>

enum { KERNEL_PAGES_COUNT = 64 }; /* no kernel of ours reaches beyond 128 MiB; what does is mapped */

struct kernel_pages {
	uint32_t written[KERNEL_PAGES_COUNT]; /* bytes of each 2 MiB, from guest address 0 on */
};

/*
 * From the program headers, which the caller has checked, and from the section headers of `fd`. A file without section
 * headers, or with odd ones, tells nothing of its code: that is no error.
 */
void kernel_pages_find(int fd, const Elf64_Ehdr *header, const Elf64_Phdr *segments, struct kernel_pages *out);

/* Whether at least half of the 2 MiB that hold `address` will be written. */
bool kernel_pages_is_written(const struct kernel_pages *pages, uint64_t address);

#endif
