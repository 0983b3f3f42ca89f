/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_content.h - a file without a name, into an image and out of it again.
 *
 * Blocks of zeros are neither written nor counted, so that holes stay holes. All in the caller's thread.
 */
#ifndef BULKHEAD_FS_CONTENT_H
#define BULKHEAD_FS_CONTENT_H

#include <stdint.h>
#include <sys/types.h>

struct err;
struct fs_share;

struct fs_content {
	uint64_t size, sum;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	uint64_t mtime_ns;
};

/* `size` bytes of `file` to `offset` in `fd`, a sparse file; sets `sum`. 0, or -1 with errno. */
int fs_content_save(int file, int fd, uint64_t offset, struct fs_content *content);

/* A new file with them, open for writing: in the share, or else in memory. -1 with the error. */
int fs_content_restore(const struct fs_share *share, int fd, uint64_t offset, const struct fs_content *content,
		       struct err *err);

#endif
