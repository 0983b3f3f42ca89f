/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_abi.h - what the guest's FUSE driver speaks: <linux/fuse.h>, the parts of 7.39 to 7.41 that older headers lack,
 * and the limits of this server.
 *
 * The names are our own (FS_...) where a newer header would define the same, since enumerators and structs cannot be
 * tested for by the preprocessor.
 */
#ifndef BULKHEAD_FS_ABI_H
#define BULKHEAD_FS_ABI_H

#include <linux/fuse.h>
#include <stdint.h>

#define FS_FUSE_MINOR 41u     /* of the protocol spoken here; the smaller one of both sides counts */
#define FS_FUSE_MINOR_MIN 36u /* Linux 5.17: everything from there on uses the struct sizes checked for here */

#define FS_FUSE_STATX 52u
#define FS_DIRECT_IO_ALLOW_MMAP (1ull << 36)
#define FS_ALLOW_IDMAP (1ull << 40)

/* The same layout as statx(2) gives. */
struct fs_sx_time {
	int64_t seconds;
	uint32_t nanoseconds;
	int32_t reserved;
};

struct fs_statx {
	uint32_t mask;
	uint32_t blksize;
	uint64_t attributes;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint16_t mode;
	uint16_t reserved0;
	uint64_t ino;
	uint64_t size;
	uint64_t blocks;
	uint64_t attributes_mask;
	struct fs_sx_time atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor;
	uint32_t dev_major, dev_minor;
	uint64_t reserved1[14];
};

struct fs_statx_in {
	uint32_t getattr_flags;
	uint32_t reserved;
	uint64_t fh;
	uint32_t sx_flags;
	uint32_t sx_mask;
};

struct fs_statx_out {
	uint64_t attr_valid;
	uint32_t attr_valid_nsec;
	uint32_t flags;
	uint64_t reserved[2];
	struct fs_statx stat;
};

_Static_assert(sizeof(struct fs_statx) == 256 && sizeof(struct fs_statx_out) == 288, "fixed by the protocol");

enum {
	FS_PAGES_MAX = 256, /* per request */
	FS_WRITE_MAX = FS_PAGES_MAX * 4096,
	FS_MAP_MIN = 128 << 10, /* smaller files are read once and for all in one request */
	FS_NAME_MAX = 255,
	FS_LINK_MAX = 4095,         /* a symbolic link's text: the guest gives a page less one byte for it */
	FS_XATTR_VALUE_MAX = 65536, /* Linux: XATTR_SIZE_MAX */
	FS_XATTR_LIST_MAX = 65536,
	FS_ARGS_MAX =
		FS_XATTR_VALUE_MAX + 4096, /* arguments copied out of the guest; data of WRITE is not among them */
	FS_REPLY_MAX = 65536,              /* put together by us; data of READ is not */
	FS_ENTRIES_MAX = 32768,            /* what is asked of the host when a directory is listed, as libc does */
};

#define FS_ROOT_ID ((uint64_t)FUSE_ROOT_ID)

#endif
