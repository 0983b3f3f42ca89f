/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_systems.h - the file systems known to have nothing to say when a file is opened or closed, and whose files stay
 * where they are when they are written, so that mappings of them stay true.
 *
 * NFS and FUSE write back at a close. Overlayfs copies a file of a lower layer when it is opened to be written, away
 * from under its mappings, and cannot once it is unlinked.
 */
#ifndef BULKHEAD_FILE_SYSTEMS_H
#define BULKHEAD_FILE_SYSTEMS_H

#include <linux/magic.h>
#include <stdbool.h>

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif
#ifndef ZFS_SUPER_MAGIC
#define ZFS_SUPER_MAGIC 0x2fc12fc1
#endif

/* `type` as statfs has it. */
static inline bool file_system_is_plain(unsigned long type)
{
	switch (type) {
	case EXT4_SUPER_MAGIC:
	case XFS_SUPER_MAGIC:
	case BTRFS_SUPER_MAGIC:
	case ZFS_SUPER_MAGIC:
	case TMPFS_MAGIC:
		return true;
	default:
		return false;
	}
}

#endif
