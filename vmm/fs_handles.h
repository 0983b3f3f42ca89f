/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_handles.h - what the guest has open: files and directories, by number (fs_ids.h).
 *
 * A handle holds the descriptor and a reference to its node. It can be released while other requests still use it
 * (only a hostile guest does that): the descriptor is closed by the last of them. Bounded; ENFILE at the bound.
 * Any thread may call; the lock is inside and nothing else is locked while it is held.
 */
#ifndef BULKHEAD_FS_HANDLES_H
#define BULKHEAD_FS_HANDLES_H

#include "vmm/fs_ids.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct fs_node;
struct fs_nodes;

enum fs_handle_kind { FS_HANDLE_FILE, FS_HANDLE_DIRECTORY };

struct fs_handle {
	/* Fixed while it exists. */
	enum fs_handle_kind kind;
	int fd; /* -1: the synthetic root directory, or of a node that has no file */
	struct fs_node *node;
	/* Directories: one reader at a time, and where the descriptor's position is. */
	pthread_mutex_t reading;
	int64_t position;
	/* Under the table's lock. */
	uint64_t id;
	unsigned references;
};

struct fs_handles {
	pthread_mutex_t lock;
	struct fs_ids ids;
	struct fs_nodes *nodes;
};

void fs_handles_init(struct fs_handles *handles, struct fs_nodes *nodes, uint32_t max);
void fs_handles_fini(struct fs_handles *handles);

/* Takes `fd` in every case, and a reference to `node` of its own. The id, or 0 with errno. */
uint64_t fs_handles_add(struct fs_handles *handles, struct fs_node *node, int fd, enum fs_handle_kind kind);

/* One that is read back under its number. 0, or -1 with errno. */
int fs_handles_restore(struct fs_handles *handles, uint64_t id, struct fs_node *node, int fd, enum fs_handle_kind kind);

/* With a reference; NULL unless it is a handle of that kind on that node. */
struct fs_handle *fs_handles_get(struct fs_handles *handles, uint64_t id, const struct fs_node *node,
				 enum fs_handle_kind kind);
void fs_handles_put(struct fs_handles *handles, struct fs_handle *handle); /* NULL is fine */

/* The id ends; false if there was no such handle on that node. */
bool fs_handles_release(struct fs_handles *handles, uint64_t id, const struct fs_node *node, enum fs_handle_kind kind);
void fs_handles_release_all(struct fs_handles *handles);

uint32_t fs_handles_count(struct fs_handles *handles);

#endif
