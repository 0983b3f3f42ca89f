/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot_memory.h - guest memory to a sparse file, and back as private mappings of it.
 *
 * The file is as large as the memory, the ranges one after the other; pages of zeros are holes. Stretches without any
 * data are not mapped from the file at all but are anonymous memory again, which costs less at the first touch. Both
 * for the main thread while no vCPU runs.
 */
#ifndef BULKHEAD_SNAPSHOT_MEMORY_H
#define BULKHEAD_SNAPSHOT_MEMORY_H

#include "vmm/snapshot.h"

struct err;
struct guest_memory;

/*
 * Writes what is not zero to `fd`, a new file, and the list of it to the writer, with checksums if wanted. The file is
 * at least as large as the memory then. `pagemap_fd` is this process's pagemap, or -1.
 */
int snapshot_save_memory(const struct guest_memory *memory, int pagemap_fd, int fd, bool with_sums,
			 struct snapshot_writer *writer, struct err *err);

/*
 * Makes `memory` of the file; undo with guest_memory_destroy. `fd` may be closed afterwards. `at_least`: the file may
 * go on behind the memory.
 */
int snapshot_map_memory(struct guest_memory *memory, uint64_t size, int fd, bool at_least,
			const struct snapshot *snapshot, struct err *err);

/* Whether it is as it was saved: reads all of it. */
int snapshot_check_memory(const struct guest_memory *memory, const struct snapshot *snapshot, struct err *err);

#endif
