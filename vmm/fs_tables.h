/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_tables.h - what the guest knows of the shares, nodes and handles, to a snapshot and back.
 *
 * A node is saved as its share and its path below it, and found again by that path, beneath the share and without
 * following a link. What no name leads to any more is carried along, if it is a regular file: its content goes into the
 * memory file, behind the memory. The file that it becomes has no name either: in the share, or in memory if the share
 * takes none.
 *
 * What is found has to be of the same type, and a regular file of the size and time of change that it had, since the
 * guest's memory has pages of it; but not the root of a share, which is what the caller gives. Where changed files are
 * accepted, those that are not found, or are of another type, answer ESTALE from then on.
 *
 * What the guest has mapped into its window for files (fs_window.h) is mapped there again, if the share is still one
 * that allows it; what answers ESTALE is zeros there.
 *
 * Nobody serves a request meanwhile. What is read back is checked whole: numbers, references, lengths.
 */
#ifndef BULKHEAD_FS_TABLES_H
#define BULKHEAD_FS_TABLES_H

#include "vmm/snapshot.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct fs_server;

/* From `*end` on, `fd` is free for contents; *end moves on. */
int fs_tables_save(struct fs_server *server, struct snapshot_writer *writer, int fd, uint64_t *end, struct err *err);

/* Into a server that has its shares and nothing else. `changes_accepted`: see above. */
int fs_tables_restore(struct fs_server *server, const struct snapshot *snapshot, int fd, bool changes_accepted,
		      struct err *err);

#endif
