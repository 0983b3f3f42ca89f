/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_window.h - the DAX window: a range of the guest's address space that holds pages of files, the host's own page
 * cache, so that all VMs that read a file share one copy of it (virtio 1.2, section 5.11.6.4).
 *
 * The window is a read-only mapping here and a read-only memory slot there: nothing is ever written through it, and it
 * is never executable for this process. It consists of pieces; a piece shows FS_WINDOW_PIECE bytes of one file, or
 * zeros. Each that shows a file holds its node.
 *
 * A file that shrinks on the host takes pages away from under the guest. Who touches such a page, be it a vCPU (KVM_RUN
 * fails with EFAULT) or a thread of ours (SIGBUS), gets zeros in its place; the file is looked at again with the next
 * answer to the guest. So neither a truncation nor a guest that reads past a file's end does harm.
 *
 * A snapshot has the pieces (node and offset), and whoever continues it maps them again (fs_tables.c). A template's
 * guest has mapped nothing yet.
 *
 * Any thread may call, but for creating and destroying. The lock is inside; files are looked at and mapped while it is
 * held, which waits for no disk on the file systems that the window is for.
 */
#ifndef BULKHEAD_FS_WINDOW_H
#define BULKHEAD_FS_WINDOW_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct err;
struct fs_node;
struct fs_nodes;
struct fs_server;

#define FS_WINDOW_PIECE_SHIFT 21 /* what Linux guests map at a time */
#define FS_WINDOW_PIECE (1ull << FS_WINDOW_PIECE_SHIFT)
#define FS_WINDOW_MAX (16ull << 30) /* two mappings a piece at most: a quarter of what a process may have */

struct fs_window_piece {
	struct fs_node *node; /* held; NULL: zeros */
	uint64_t offset;      /* in its file */
	atomic_uint shown;    /* bytes from the start that are the file's; zeros follow */
};

struct fs_window {
	uint8_t *host; /* NULL: there is no window */
	uint64_t size;
	struct fs_nodes *nodes; /* whose the nodes are; set by the server */
	pthread_mutex_t lock;
	struct fs_window_piece *pieces;
	unsigned count;
	atomic_bool is_torn; /* perhaps: a piece shows less than it was asked to */
};

/* `size` is a multiple of FS_WINDOW_PIECE, at most FS_WINDOW_MAX. */
int fs_window_create(struct fs_window *window, uint64_t size, struct err *err);
void fs_window_destroy(struct fs_window *window); /* nothing is mapped any more; zeroed is fine */

/* This process survives SIGBUS in `window` from now on; one window a process. */
int fs_window_catch_faults(struct fs_window *window, struct err *err);

/* Shows `fd`, the file of `node`, from `offset` on in piece `index`. 0, or an errno value: then it shows zeros. */
int fs_window_map(struct fs_window *window, unsigned index, struct fs_node *node, int fd, uint64_t offset);
void fs_window_unmap(struct fs_window *window, unsigned index);
void fs_window_unmap_all(struct fs_window *window);

/* Puts zeros where files have ended since they were mapped. False: there was no such place. */
bool fs_window_mend(struct fs_window *window);

/* The opposite: shows files again that have grown since. */
void fs_window_renew(struct fs_window *window, struct fs_server *server);

#endif
