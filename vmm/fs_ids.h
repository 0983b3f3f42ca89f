/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_ids.h - the numbers the guest holds instead of pointers: node ids and file handles.
 *
 * An id is a slot's index and, above it, how often the slot has been used: one that was given back, or never given
 * out, finds nothing. The first id is 1 and 0 is none. Bounded. Not thread-safe: the tables that use it (fs_nodes,
 * fs_handles) lock around it.
 */
#ifndef BULKHEAD_FS_IDS_H
#define BULKHEAD_FS_IDS_H

#include <stdint.h>

struct fs_ids_slot {
	void *object;        /* NULL: free */
	uint32_t generation; /* how often the slot was freed */
	uint32_t next_free;
};

struct fs_ids {
	struct fs_ids_slot *slots; /* grows; slot 0 is never used */
	uint32_t size, top;        /* allocated; first never used */
	uint32_t free;             /* first of the freed ones, 0: none */
	uint32_t used, max;
};

void fs_ids_init(struct fs_ids *ids, uint32_t max);
void fs_ids_fini(struct fs_ids *ids); /* the objects are the caller's */

/* The new id, or 0 when `max` are in use (errno ENFILE) or memory is short (ENOMEM). */
uint64_t fs_ids_add(struct fs_ids *ids, void *object);
void *fs_ids_find(const struct fs_ids *ids, uint64_t id); /* NULL: no such id */
void fs_ids_remove(struct fs_ids *ids, uint64_t id);      /* one that is in use */

/*
 * For a table that is read back: `id` means `object` from now on. -1 with errno: it is none, is taken, or `max` are in
 * use. When all are in, fs_ids_settle gives the slots between them to those to come, with this generation.
 */
int fs_ids_restore(struct fs_ids *ids, uint64_t id, void *object);
void fs_ids_settle(struct fs_ids *ids, uint32_t generation);

/* For walking all objects: the first one in slot `*index` or later, with *index set behind it; NULL at the end. */
void *fs_ids_next(const struct fs_ids *ids, uint32_t *index);

#endif
