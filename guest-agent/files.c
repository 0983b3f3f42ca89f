/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/files.h"

#include "common/auto.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

int file_write_at(int dir_fd, const char *path, const char *value)
{
	auto_fd int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	size_t length = strlen(value);

	if (fd < 0)
		return -1;
	ssize_t n = write(fd, value, length);
	if (n < 0)
		return -1;
	if ((size_t)n != length) {
		errno = EIO;
		return -1;
	}
	return 0;
}

ssize_t file_read_at(int dir_fd, const char *path, char *out, size_t size)
{
	auto_fd int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	size_t used = 0;

	if (fd < 0)
		return -1;
	while (used < size - 1) {
		ssize_t n = read(fd, out + used, size - 1 - used);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	out[used] = '\0';
	return (ssize_t)used;
}

char *file_read_all(int fd, size_t limit, size_t *length)
{
	auto_free char *data = NULL;
	size_t used = 0, size = 0;

	for (;;) {
		if (used + 1 >= size) {
			size_t bigger = size ? size * 2 : 4096;
			char *grown = used > limit ? NULL : realloc(data, bigger);

			if (!grown) {
				errno = used > limit ? EFBIG : ENOMEM;
				return NULL;
			}
			data = grown;
			size = bigger;
		}
		ssize_t n = read(fd, data + used, size - used - 1);
		if (n < 0)
			return NULL;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	data[used] = '\0';
	if (length)
		*length = used;
	return take_ptr(&data);
}
