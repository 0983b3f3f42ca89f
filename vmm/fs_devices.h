/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_devices.h - inode numbers that stay apart.
 *
 * Shares come from different file systems of the host and lie in one of the guest, with one device number. Two files
 * of the same inode number would then look like one: `cp` would refuse to copy between them, `tar` would take them for
 * links. So inode numbers of each further device have its place in this table in their upper bits. The first
 * device's, which is the root filesystem's, are the host's own. (A mount for each share, with FUSE_ATTR_SUBMOUNT, would
 * be simpler. But Linux 6.12 forgets SB_POSIXACL and SB_NOSEC on such mounts: no ACLs, and a GETXATTR with every
 * write.)
 *
 * Any thread may call; the lock is inside and nothing else is locked while it is held.
 */
#ifndef BULKHEAD_FS_DEVICES_H
#define BULKHEAD_FS_DEVICES_H

#include <pthread.h>
#include <stdint.h>

enum { FS_DEVICES_MAX = 256, FS_SALT_SHIFT = 48 };

struct fs_devices {
	pthread_mutex_t lock;
	uint64_t seen[FS_DEVICES_MAX];
	unsigned count;
};

void fs_devices_init(struct fs_devices *devices);
void fs_devices_fini(struct fs_devices *devices);

/* What to exclusive-or with inode numbers of `device`. */
uint64_t fs_devices_salt(struct fs_devices *devices, uint64_t device);

#endif
