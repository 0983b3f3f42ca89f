/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/fs_content.h"

#include "common/auto.h"
#include "common/err.h"
#include "vmm/fs_shares.h"
#include "vmm/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 64 << 10 };

static bool is_zero(const uint8_t *data, size_t length)
{
	return !data[0] && !memcmp(data, data + 1, length - 1);
}

/* What is not zero, from one file to the other. `sum` begins with SNAPSHOT_HASH_INIT. */
static int copy(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t size, uint64_t *sum)
{
	auto_free uint8_t *block = malloc(BLOCK);
	uint64_t at = 0;

	if (!block)
		return -1;
	while (at < size) {
		size_t length = size - at < BLOCK ? (size_t)(size - at) : BLOCK;
		/* A guest's file may be a hole of many terabytes. Not every file system tells. */
		off_t data = lseek(from, (off_t)(from_offset + at), SEEK_DATA);

		if (data < 0 && errno == ENXIO)
			break;
		if (data > 0 && (uint64_t)data >= from_offset + at + BLOCK) {
			at = ((uint64_t)data - from_offset) / BLOCK * BLOCK;
			continue;
		}
		ssize_t n = pread(from, block, length, (off_t)(from_offset + at));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < (ssize_t)length) {
			errno = n < 0 ? errno : EBADMSG;
			return -1;
		}
		if (!is_zero(block, length)) {
			*sum = snapshot_hash(*sum, &at, sizeof at);
			*sum = snapshot_hash(*sum, block, length);
			if (pwrite(to, block, length, (off_t)(to_offset + at)) != (ssize_t)length)
				return -1;
		}
		at += length;
	}
	return 0;
}

int fs_content_save(int file, int fd, uint64_t offset, struct fs_content *content)
{
	content->sum = SNAPSHOT_HASH_INIT;
	if (copy(file, 0, fd, offset, content->size, &content->sum))
		return -1;
	return content->size ? ftruncate(fd, (off_t)(offset + content->size)) : 0;
}

int fs_content_restore(const struct fs_share *share, int fd, uint64_t offset, const struct fs_content *content,
		       struct err *err)
{
	const struct timespec mtime = { .tv_sec = (time_t)(content->mtime_ns / 1000000000),
					.tv_nsec = (long)(content->mtime_ns % 1000000000) };
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, mtime };
	uint64_t sum = SNAPSHOT_HASH_INIT;
	auto_fd int file = -1;

	if (S_ISDIR(share->type) && !share->read_only)
		file = openat(share->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (file < 0)
		file = memfd_create("bulkhead-restored", MFD_CLOEXEC);
	if (file < 0 || copy(fd, offset, file, 0, content->size, &sum) || ftruncate(file, (off_t)content->size))
		return err_set_errno(err, "cannot make again a file that had no name in share %s", share->name);
	if (sum != content->sum)
		return err_set(err, EBADMSG, "the checksum of a file without a name is wrong: the image is damaged");
	/* Who may not give files away has none that were another's. */
	if (fchown(file, content->uid, content->gid) < 0 && errno != EPERM && errno != EINVAL)
		return err_set_errno(err, "cannot set the owner of a file that had no name in share %s", share->name);
	(void)fchmod(file, content->mode & 07777);
	(void)futimens(file, times);
	return take_fd(&file);
}
