/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_shares.h - the trees the guest may see: the entries of the synthetic root directory.
 *
 * A share is a directory or a single regular file, held open since the runtime gave it: the root of a detached mount,
 * which carries read-only, nosuid, nodev and id mapping. A removed share can no longer be looked up; nodes found in
 * it before go on and keep it alive (each holds a reference). Any thread may call; the lock is inside and nothing else
 * is locked while it is held.
 */
#ifndef BULKHEAD_FS_SHARES_H
#define BULKHEAD_FS_SHARES_H

#include "vmm/vmm_api.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

enum { FS_SHARES_MAX = 1024 };

struct fs_share {
	char name[VMM_NAME_MAX];
	int fd;
	bool read_only;   /* besides what the mount says */
	bool quiet_close; /* a local file system: close(2) reports nothing there, so the guest need not ask (FLUSH) */
	bool plain_open;  /* quiet_close, and it makes no difference when a file is opened: fs_file.c */
	uint64_t mount, device; /* of its root */
	mode_t type;            /* S_IFDIR or S_IFREG */
	atomic_uint references;
};

struct fs_shares {
	pthread_mutex_t lock;
	struct fs_share *slots[FS_SHARES_MAX]; /* a share's place stays: it is its offset when the root is read */
	unsigned top;
};

void fs_shares_init(struct fs_shares *shares);
void fs_shares_fini(struct fs_shares *shares);

/* Takes `fd`, also on failure. */
int fs_shares_add(struct fs_shares *shares, const char *name, int fd, bool read_only, struct err *err);
int fs_shares_remove(struct fs_shares *shares, const char *name, struct err *err);

/* With a reference, or NULL. fs_shares_at: the share in slot `*slot` or a later one; *slot is set to its place. */
struct fs_share *fs_shares_find(struct fs_shares *shares, const char *name);
struct fs_share *fs_shares_at(struct fs_shares *shares, unsigned *slot);

/* Whether it makes a difference on none of their file systems when a file is opened. */
bool fs_shares_open_plainly(struct fs_shares *shares);

struct fs_share *fs_share_get(struct fs_share *share); /* one more reference; NULL is fine for both */
void fs_share_put(struct fs_share *share);

#endif
