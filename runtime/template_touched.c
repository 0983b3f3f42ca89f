/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/template_touched.h"

#include "runtime/template.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/fd_stat.h"

#include "vmm/touched.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PAGE 4096ull

/* An entry of /proc/PID/pagemap. */
#define PRESENT (1ull << 63)
#define SWAPPED (1ull << 62)
#define FILE_PAGE (1ull << 61) /* still the template's */

struct list {
	struct touched_run runs[TOUCHED_RUNS_MAX];
	size_t count, pages;
};

/* False: the list is full. */
static bool add(struct list *list, uint64_t page)
{
	struct touched_run *last = list->count ? &list->runs[list->count - 1] : NULL;

	if (list->pages == TOUCHED_PAGES_MAX || page > UINT32_MAX)
		return false;
	if (last && last->first + (uint64_t)last->count == page) {
		last->count++;
	} else if (list->count < TOUCHED_RUNS_MAX) {
		list->runs[list->count++] = (struct touched_run){ (uint32_t)page, 1 };
	} else {
		return false;
	}
	list->pages++;
	return true;
}

/* Memory of the guest, from `offset` of it on. */
static void look_at(int pagemap_fd, uint64_t start, uint64_t end, uint64_t offset, struct list *list)
{
	uint64_t entries[512];

	while (start < end) {
		size_t wanted = (end - start) / PAGE < 512 ? (end - start) / PAGE : 512;
		ssize_t n =
			pread(pagemap_fd, entries, wanted * sizeof *entries, (off_t)(start / PAGE * sizeof *entries));

		if (n < (ssize_t)sizeof *entries)
			return;
		for (size_t i = 0; i < (size_t)n / sizeof *entries; i++, start += PAGE, offset += PAGE)
			if (entries[i] & (PRESENT | SWAPPED) && !(entries[i] & FILE_PAGE) && !add(list, offset / PAGE))
				return;
	}
}

/*
 * The guest's memory in the order of its addresses: mappings of the template's file, and between, before and behind
 * them what was zero in the template and is anonymous. Of that an address tells only together with a neighbour's.
 */
struct walk {
	int pagemap_fd;
	uint64_t size;                           /* of the guest's memory */
	uint64_t end;                            /* of what is known to be the guest's so far; 0: nothing */
	uint64_t end_offset;                     /* in the guest's memory */
	uint64_t anonymous_start, anonymous_end; /* a mapping whose place is not known yet */
};

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void walk_file(struct walk *walk, uint64_t start, uint64_t end, uint64_t offset, struct list *list)
{
	if (walk->anonymous_end == start) {
		uint64_t length = smaller(start - walk->anonymous_start, offset);

		look_at(walk->pagemap_fd, start - length, start, offset - length, list);
	}
	look_at(walk->pagemap_fd, start, end, offset, list);
	walk->end = end;
	walk->end_offset = offset + (end - start);
}

static void walk_anonymous(struct walk *walk, uint64_t start, uint64_t end, struct list *list)
{
	if (start == walk->end) {
		uint64_t length = smaller(end - start, walk->size - walk->end_offset);

		look_at(walk->pagemap_fd, start, start + length, walk->end_offset, list);
		walk->end = start + length;
		walk->end_offset += length;
	} else {
		walk->anonymous_start = start;
		walk->anonymous_end = end;
	}
}

static int write_list(int entry_fd, const struct list *list, struct err *err)
{
	size_t length = list->count * sizeof list->runs[0];
	char name[32];

	snprintf(name, sizeof name, ".touched-%d", (int)getpid());
	auto_fd int fd = openat(entry_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, list->runs, length) != (ssize_t)length ||
	    renameat(entry_fd, name, entry_fd, TEMPLATE_TOUCHED)) {
		err_set_errno(err, "cannot write the list of pages");
		unlinkat(entry_fd, name, 0);
		return -1;
	}
	return 0;
}

int template_touched_note(int entry_fd, int memory_fd, pid_t monitor, struct err *err)
{
	struct list list = { .count = 0 };
	char path[40], line[512];
	struct stat memory;

	snprintf(path, sizeof path, "/proc/%d/maps", (int)monitor);
	auto_file FILE *maps = fopen(path, "re");
	snprintf(path, sizeof path, "/proc/%d/pagemap", (int)monitor);
	auto_fd int pagemap = open(path, O_RDONLY | O_CLOEXEC);

	if (!maps || pagemap < 0 || fd_stat(memory_fd, &memory))
		return err_set_errno(err, "%s", path);
	struct walk walk = { .pagemap_fd = pagemap, .size = (uint64_t)memory.st_size };
	while (fgets(line, sizeof line, maps)) {
		uint64_t start, end, offset, inode;
		unsigned major_number, minor_number;

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %x:%x %" SCNu64, &start, &end, &offset,
			   &major_number, &minor_number, &inode) != 6)
			continue;
		if (inode == memory.st_ino && offset < walk.size && end - start <= walk.size - offset &&
		    makedev(major_number, minor_number) == memory.st_dev)
			walk_file(&walk, start, end, offset, &list);
		else if (!inode)
			walk_anonymous(&walk, start, end, &list);
	}
	return write_list(entry_fd, &list, err);
}
