/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_nodes.h - the objects the guest knows: files, directories, links it has looked up and not yet forgotten.
 *
 * A node is found by its id (fs_ids.h), or by its key: mount, device and inode number. It holds an O_PATH descriptor,
 * so the inode lives on, its number is not used for another one, and a rename on either side cannot lead us elsewhere.
 * `lookups` counts what the guest was told and has to FORGET; at 0 the id is gone. `references` are the requests and
 * handles at work on it; the descriptor is closed when both are 0, whatever the guest forgets meanwhile.
 *
 * The number of nodes is bounded; at the bound, look-ups fail with ENFILE. Any thread may call; the lock is inside,
 * nothing else is locked and no file is closed while it is held.
 */
#ifndef BULKHEAD_FS_NODES_H
#define BULKHEAD_FS_NODES_H

#include "vmm/fs_ids.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct fs_share;

struct fs_key {
	uint64_t mount, device, inode;
};

struct fs_node {
	/* Fixed while it exists. */
	struct fs_key key;
	struct fs_share *share; /* NULL: the synthetic root */
	int fd;                 /* O_PATH; -1: the synthetic root, or what a checkpoint had and is not there any more */
	mode_t type;            /* S_IFMT bits; an inode never changes them */
	bool submount;          /* a directory on another mount or device than the one it was first found in */
	uint64_t salt;          /* of its inode number, as the guest sees it: fs_devices.h */
	/* Under the table's lock. */
	uint64_t id; /* 0 once forgotten */
	uint64_t lookups;
	unsigned references;
	struct fs_node *next; /* in its bucket */
};

struct fs_nodes {
	pthread_mutex_t lock;
	struct fs_ids ids;
	struct fs_node **buckets;
	uint32_t bucket_count; /* a power of two */
	struct fs_node *root;
};

/* 0, or -1 with errno. The root is there from the start, as FS_ROOT_ID, and is never forgotten. */
int fs_nodes_init(struct fs_nodes *nodes, uint32_t max);
void fs_nodes_fini(struct fs_nodes *nodes);

/* With a reference; NULL for ids that are not the guest's. */
struct fs_node *fs_nodes_get(struct fs_nodes *nodes, uint64_t id);
struct fs_node *fs_nodes_hold(struct fs_nodes *nodes, struct fs_node *node); /* one more */
void fs_nodes_put(struct fs_nodes *nodes, struct fs_node *node);             /* NULL is fine */

/* A node that may not be known yet. Takes `fd` in every case. */
struct fs_found {
	struct fs_key key;
	int fd;
	mode_t type;
	bool submount;
	uint64_t salt;
	struct fs_share *share;
};

/*
 * The node with the key of `found`, known or new, with one more look-up counted and, if `node` is not NULL, a reference
 * to it. Returns its id, or 0 with errno (ENFILE, ENOMEM). `submount` gets what holds for the node.
 */
uint64_t fs_nodes_look_up(struct fs_nodes *nodes, struct fs_found *found, struct fs_node **node);

/* A node that is read back under its number, with its count; `found->fd` may be -1. 0, or -1 with errno. */
int fs_nodes_restore(struct fs_nodes *nodes, uint64_t id, uint64_t lookups, struct fs_found *found);

/* The id of `node` with one more look-up counted, also if it was forgotten meanwhile. 0 with errno. */
uint64_t fs_nodes_count_lookup(struct fs_nodes *nodes, struct fs_node *node);

/* More than were counted is as good as all. Unknown ids are nothing. */
void fs_nodes_forget(struct fs_nodes *nodes, uint64_t id, uint64_t lookups);
void fs_nodes_forget_all(struct fs_nodes *nodes);

uint32_t fs_nodes_count(struct fs_nodes *nodes);

#endif
