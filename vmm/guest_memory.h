/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_memory.h - the guest's physical memory, mapped privately into this process.
 *
 * Two ranges at most: below the MMIO hole (GUEST_HOLE_START) and from 4 GiB up; and a third, above both, that comes
 * while the guest runs (growth.h) and of which more and more is the guest's. Every guest physical address that came
 * from the guest is turned into a pointer here and nowhere else. The mapping lives as long as the monitor. The bytes
 * behind a pointer may change at any time (the guest runs): copy what is to be checked first, then check the copy.
 * Any thread may call the translation functions; they only read.
 */
#ifndef BULKHEAD_GUEST_MEMORY_H
#define BULKHEAD_GUEST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define GUEST_HOLE_START 0xc0000000ull /* devices live between here and 4 GiB */
#define GUEST_HOLE_END 0x100000000ull
#define GUEST_PAGE 4096ull
#define GUEST_HUGE_PAGE (2ull << 20) /* also what the memory's size and alignment are multiples of */

struct guest_range {
	uint64_t start; /* guest physical */
	uint64_t size;
	uint8_t *host;
};

struct guest_memory {
	struct guest_range ranges[2];
	unsigned count;
	uint64_t size; /* of all ranges */
	bool huge_pages;
	/* Set once, on the loop thread, before `granted` is more than 0; `granted` bytes of it, which only grow, are
	 * memory. */
	struct guest_range growth;
	_Atomic uint64_t granted;
	/*
	 * Not memory, but where the guest may have data that a device is to read: the window of the file system
	 * (fs_window.h). Never written to. Size 0: none.
	 */
	struct guest_range window;
	/* A bit for each 2 MiB of all ranges: set where it may be a private mapping of a file. */
	uint8_t *from_file;
};

/* Maps `size` bytes (a multiple of 2 MiB), private and zero. Undo with guest_memory_destroy, also half built. */
int guest_memory_create(struct guest_memory *memory, uint64_t size, struct err *err);

/* The same without a choice of page sizes: what comes will be mapped over it (snapshot_memory.h). */
int guest_memory_create_plain(struct guest_memory *memory, uint64_t size, struct err *err);

/* From now on wherever the host has them, instead of where they cost little; also for what is reserved for growth. */
void guest_memory_use_huge_pages(struct guest_memory *memory);

/*
 * The same for each 2 MiB of it that is no file's, and of which `needs_little`, a bit for each 2 MiB of all ranges, is
 * not set. What is not there yet of them comes in one piece at the first touch, for one exit instead of 512.
 */
void guest_memory_use_huge_pages_where(const struct guest_memory *memory, const uint8_t *needs_little);

void guest_memory_destroy(struct guest_memory *memory);

/* Gives the host back what it takes, once neither guest nor devices use it: from then on it holds anything. */
void guest_memory_drop(const struct guest_memory *memory);

/* A file was mapped there, at a host address inside of memory: what is not in the page tables is not zero. */
void guest_memory_note_file(const struct guest_memory *memory, const uint8_t *host, uint64_t length);

/* Whether that may be so for the 2 MiB at this offset in all ranges together. */
bool guest_memory_is_from_file(const struct guest_memory *memory, uint64_t offset);

/*
 * Maps `size` bytes (a multiple of 2 MiB) for growth, from `start` on; none of it is granted yet. Once, on the loop
 * thread, while any other may translate addresses.
 */
int guest_memory_reserve(struct guest_memory *memory, uint64_t start, uint64_t size, struct err *err);

/*
 * The host address of `length` bytes at guest physical `address`, or NULL if any of them is not memory. Never spans two
 * ranges. Length 0 gives NULL.
 */
void *guest_memory_at(const struct guest_memory *memory, uint64_t address, uint64_t length);

/* The same for what is only read: in the window as well. Reading there may give EFAULT, or zeros. */
const void *guest_memory_readable_at(const struct guest_memory *memory, uint64_t address, uint64_t length);

/* Copies; false (and nothing copied) if the range is not memory. */
bool guest_memory_read(const struct guest_memory *memory, uint64_t address, void *out, size_t length);
bool guest_memory_write(const struct guest_memory *memory, uint64_t address, const void *data, size_t length);

#endif
