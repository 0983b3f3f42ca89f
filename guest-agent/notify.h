/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify.h - the guest's end of the host's NOTIFY_SOCKET: a datagram socket for sd_notify(3), bound into the container,
 * whose messages become lines in a pipe that the host reads as one more stream of the process.
 *
 * A message is lines already; one that does not end with a line feed gets it, so that messages may be joined on the
 * way. Descriptors that come along are closed at once, which is all that sd_notify_barrier(3) waits for. A message for
 * which the pipe has no room is lost, as for a service manager that does not read.
 */
#ifndef BULKHEAD_AGENT_NOTIFY_H
#define BULKHEAD_AGENT_NOTIFY_H

struct err;
struct loop;
struct notify;

/* A socket at `path`, for everybody. *pipe_fd is the end to read, and the caller's. NULL with the error set. */
struct notify *notify_create(struct loop *loop, const char *path, int *pipe_fd, struct err *err);

/* What was sent until now is in the pipe, and the pipe comes to its end. */
void notify_finish(struct notify *notify);

/* Removes the socket's name. NULL is fine. */
void notify_destroy(struct notify *notify);

#endif
