/* SPDX-License-Identifier: Apache-2.0 */
#include "common/ring.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct ring {
	size_t mask;
	size_t head; /* total bytes ever put; never reduced, wraps with size_t */
	size_t tail; /* total bytes ever taken */
	unsigned char data[];
};

struct ring *ring_create(size_t size)
{
	size_t rounded = 64;

	while (rounded < size)
		rounded *= 2;
	struct ring *ring = malloc(sizeof *ring + rounded);
	if (!ring)
		return NULL;
	ring->mask = rounded - 1;
	ring->head = ring->tail = 0;
	return ring;
}

void ring_destroy(struct ring *ring)
{
	free(ring);
}

size_t ring_used(const struct ring *ring)
{
	return ring->head - ring->tail;
}

size_t ring_room(const struct ring *ring)
{
	return ring->mask + 1 - ring_used(ring);
}

/* `length` bytes that begin `offset` bytes into the endless stream, as one or two pieces of the buffer. */
static int pieces(const struct ring *ring, size_t offset, size_t length, struct iovec iov[2])
{
	size_t start = offset & ring->mask;
	size_t first = ring->mask + 1 - start;

	if (length == 0)
		return 0;
	if (first > length)
		first = length;
	iov[0].iov_base = (void *)(ring->data + start);
	iov[0].iov_len = first;
	if (first == length)
		return 1;
	iov[1].iov_base = (void *)ring->data;
	iov[1].iov_len = length - first;
	return 2;
}

size_t ring_put(struct ring *ring, const void *data, size_t length)
{
	struct iovec iov[2];
	size_t room = ring_room(ring);

	if (length > room)
		length = room;
	int n = pieces(ring, ring->head, length, iov);
	for (int i = 0; i < n; i++) {
		memcpy(iov[i].iov_base, data, iov[i].iov_len);
		data = (const char *)data + iov[i].iov_len;
	}
	ring->head += length;
	return length;
}

size_t ring_get(struct ring *ring, void *data, size_t length)
{
	struct iovec iov[2];
	size_t used = ring_used(ring);

	if (length > used)
		length = used;
	int n = pieces(ring, ring->tail, length, iov);
	for (int i = 0; i < n; i++) {
		memcpy(data, iov[i].iov_base, iov[i].iov_len);
		data = (char *)data + iov[i].iov_len;
	}
	ring->tail += length;
	return length;
}

ssize_t ring_read_from(struct ring *ring, int fd, size_t limit)
{
	struct iovec iov[2];
	size_t room = ring_room(ring);
	int n = pieces(ring, ring->head, room < limit ? room : limit, iov);

	if (n == 0) {
		errno = ENOBUFS;
		return -1;
	}
	ssize_t got = readv(fd, iov, n);
	if (got > 0)
		ring->head += (size_t)got;
	return got;
}

ssize_t ring_write_to(struct ring *ring, int fd)
{
	struct iovec iov[2];
	int n = ring_peek(ring, iov);

	if (n == 0) {
		errno = ENOBUFS;
		return -1;
	}
	ssize_t put = writev(fd, iov, n);
	if (put > 0)
		ring->tail += (size_t)put;
	return put;
}

int ring_peek(const struct ring *ring, struct iovec iov[2])
{
	return pieces(ring, ring->tail, ring_used(ring), iov);
}

void ring_drop(struct ring *ring, size_t length)
{
	assert(length <= ring_used(ring));
	ring->tail += length;
}
