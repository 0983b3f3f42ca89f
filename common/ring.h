/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring.h - a bounded byte buffer between a reader and a writer that go at different speeds.
 *
 * Its size is fixed when it is made, so that a peer that stops reading stops its writer instead of filling memory.
 * Not thread-safe.
 */
#ifndef BULKHEAD_RING_H
#define BULKHEAD_RING_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct ring;

/* `size` is rounded up to a power of two. NULL when out of memory. */
struct ring *ring_create(size_t size);
void ring_destroy(struct ring *ring); /* NULL is fine */

size_t ring_used(const struct ring *ring);
size_t ring_room(const struct ring *ring);

/* Copies what fits; returns how much that was. */
size_t ring_put(struct ring *ring, const void *data, size_t length);
size_t ring_get(struct ring *ring, void *data, size_t length);

/*
 * One readv(2) into the room there is, at most `limit` bytes, or one writev(2) of what is held. Return what the call
 * returned (0 from a read is end of file), or -1 with errno; without room, or nothing to write: -1 with ENOBUFS.
 */
ssize_t ring_read_from(struct ring *ring, int fd, size_t limit);
ssize_t ring_write_to(struct ring *ring, int fd);

/* The held bytes as at most two pieces, without taking them; returns the number of pieces. ring_drop takes them. */
int ring_peek(const struct ring *ring, struct iovec iov[2]);
void ring_drop(struct ring *ring, size_t length);

#endif
