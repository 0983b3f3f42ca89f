/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtqueue.h"

#include <string.h>

enum direction { FROM_SEGMENTS, TO_SEGMENTS };

static size_t copy(const struct iovec *segments, unsigned count, size_t offset, void *buffer, size_t length,
		   enum direction direction)
{
	size_t done = 0;

	for (unsigned i = 0; i < count && done < length; i++) {
		size_t here = segments[i].iov_len;

		if (offset >= here) {
			offset -= here;
			continue;
		}

		uint8_t *guest = (uint8_t *)segments[i].iov_base + offset;
		uint8_t *ours = (uint8_t *)buffer + done;

		here -= offset;
		if (here > length - done)
			here = length - done;
		if (direction == FROM_SEGMENTS)
			memcpy(ours, guest, here);
		else
			memcpy(guest, ours, here);
		done += here;
		offset = 0;
	}
	return done;
}

size_t iovec_read(const struct iovec *segments, unsigned count, size_t offset, void *out, size_t length)
{
	return copy(segments, count, offset, out, length, FROM_SEGMENTS);
}

size_t iovec_write(const struct iovec *segments, unsigned count, size_t offset, const void *data, size_t length)
{
	return copy(segments, count, offset, (void *)(uintptr_t)data, length, TO_SEGMENTS);
}

unsigned iovec_slice(const struct iovec *segments, unsigned count, size_t offset, size_t length, struct iovec *out,
		     unsigned max)
{
	unsigned used = 0;

	for (unsigned i = 0; i < count && length && used < max; i++) {
		size_t here = segments[i].iov_len;

		if (offset >= here) {
			offset -= here;
			continue;
		}
		here -= offset;
		if (here > length)
			here = length;
		out[used++] = (struct iovec){ .iov_base = (uint8_t *)segments[i].iov_base + offset, .iov_len = here };
		length -= here;
		offset = 0;
	}
	return used;
}
