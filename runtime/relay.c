/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/relay.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/fd_stat.h"
#include "common/loop.h"
#include "common/ring.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum {
	RING_BYTES = 64 * 1024,
	PIPE_ROOM_BYTES = 1024 * 1024, /* what an unprivileged process may ask for by default */
	TAKES_PER_ROUND = 8,           /* so that one busy stream leaves the loop to the others now and then */
};

struct end {
	int fd;
	struct loop_watch *watch;
	bool is_socket;
	bool is_pipe;
	bool is_nonblocking;
	bool always_ready; /* regular files and the like, which epoll refuses */
};

struct relay {
	struct loop *loop;
	struct ring *ring;
	struct end source, destination;
	bool source_ended;
	relay_done *done;
	void *arg;
};

int relay_open_end(int fd, bool for_writing)
{
	struct stat st;
	char path[32];

	if (fd_stat(fd, &st) < 0 || !(S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))
		return fd;
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(5, 2))
		return fd; /* a terminal's master: opening /dev/ptmx again makes another terminal */
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int own = open(path, (for_writing ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (own < 0)
		return fd;
	close(fd);
	return own;
}

static void end_init(struct end *end, int fd)
{
	struct stat st = { 0 };
	int flags = fcntl(fd, F_GETFL);

	end->fd = fd;
	if (fd_stat(fd, &st) == 0) {
		end->is_socket = S_ISSOCK(st.st_mode);
		end->is_pipe = S_ISFIFO(st.st_mode);
	}
	end->is_nonblocking = flags >= 0 && (flags & O_NONBLOCK);
}

static void end_close(struct relay *relay, struct end *end)
{
	loop_remove(relay->loop, end->watch);
	end->watch = NULL;
	close_fd(&end->fd);
}

/* A socket is only shut for writing: what it was given is still on its way, and closing might cut it off. */
static void finish(struct relay *relay)
{
	struct end *destination = &relay->destination;

	end_close(relay, &relay->source);
	if (destination->is_socket) {
		shutdown(destination->fd, SHUT_WR);
		loop_remove(relay->loop, destination->watch);
		destination->watch = NULL;
	} else {
		end_close(relay, destination);
	}
	ring_destroy(relay->ring);
	relay->ring = NULL;
	relay->done(relay->arg);
}

static bool is_temporary(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

/* 1: bytes came or the source ended. 0: nothing to do now. */
static int take(struct relay *relay)
{
	if (relay->source_ended || ring_room(relay->ring) == 0)
		return 0;
	ssize_t n = ring_read_from(relay->ring, relay->source.fd, RING_BYTES);
	if (n > 0)
		return 1;
	if (n < 0 && is_temporary(errno))
		return 0;
	/* An error here is an end too: a hung-up terminal reads EIO, a reset connection ECONNRESET. */
	relay->source_ended = true;
	end_close(relay, &relay->source);
	return 1;
}

/* One write of what is held that cannot block. Returns as write(2) does. */
static ssize_t write_some(struct relay *relay)
{
	struct end *end = &relay->destination;
	struct iovec iov[2];
	int pieces = ring_peek(relay->ring, iov);
	ssize_t n;

	if (end->is_socket) {
		struct msghdr message = { .msg_iov = iov, .msg_iovlen = (size_t)pieces };

		n = sendmsg(end->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	} else if (end->is_nonblocking || end->always_ready) {
		n = writev(end->fd, iov, pieces);
	} else {
		/* A pipe that polls writable takes PIPE_BUF bytes without blocking, no more is certain. */
		n = write(end->fd, iov[0].iov_base, iov[0].iov_len < PIPE_BUF ? iov[0].iov_len : PIPE_BUF);
	}
	if (n > 0)
		ring_drop(relay->ring, (size_t)n);
	return n;
}

/* 1: bytes went. 0: the destination takes nothing now. -1: it is gone. */
static int give(struct relay *relay, bool ready)
{
	if (ring_used(relay->ring) == 0)
		return 0;
	if (!ready && !relay->destination.is_socket && !relay->destination.is_nonblocking &&
	    !relay->destination.always_ready)
		return 0;
	ssize_t n = write_some(relay);
	if (n > 0)
		return 1;
	return n < 0 && !is_temporary(errno) ? -1 : 0;
}

static void source_ready(void *arg, uint32_t events);
static void destination_ready(void *arg, uint32_t events);

/* Brings the watches in line with what is wanted. Returns -1 if that is impossible. */
static int arm(struct relay *relay)
{
	struct end *source = &relay->source, *destination = &relay->destination;
	bool want = !relay->source_ended && ring_room(relay->ring) > 0;

	/*
	 * A source that is not wanted is not watched at all: hang-ups are reported whether asked for or not, and a full
	 * buffer could not answer them.
	 */
	if (!want && source->watch) {
		loop_remove(relay->loop, source->watch);
		source->watch = NULL;
	} else if (want && !source->watch && !source->always_ready) {
		source->watch = loop_add_fd(relay->loop, source->fd, EPOLLIN, source_ready, relay);
		if (!source->watch) {
			if (errno != EPERM)
				return -1;
			source->always_ready = true;
		}
	}
	if (destination->always_ready)
		return 0;
	/* A source that is always ready is read as the destination drains. */
	uint32_t events = ring_used(relay->ring) > 0 || (source->always_ready && want) ? EPOLLOUT : 0;
	if (!destination->watch) {
		destination->watch = loop_add_fd(relay->loop, destination->fd, events, destination_ready, relay);
		if (!destination->watch) {
			if (errno != EPERM)
				return -1;
			destination->always_ready = true;
		}
		return 0;
	}
	return loop_change(relay->loop, destination->watch, events);
}

static void pump(struct relay *relay, bool may_take, bool may_give)
{
	/* Only what is taken is counted: what is held is bounded by itself, and an end that is always ready has no
	 * event that would bring us back to it. */
	for (int takes = 0; takes < TAKES_PER_ROUND;) {
		int given = give(relay, may_give);

		if (given < 0) {
			finish(relay);
			return;
		}
		if (relay->source_ended && ring_used(relay->ring) == 0) {
			finish(relay);
			return;
		}
		int taken = may_take || relay->source.always_ready ? take(relay) : 0;
		takes += taken;
		may_take = false;
		may_give = false;
		if (!given && !taken)
			break;
	}
	if (arm(relay) < 0)
		finish(relay);
}

static void source_ready(void *arg, uint32_t events)
{
	(void)events;
	pump(arg, true, false);
}

static void destination_ready(void *arg, uint32_t events)
{
	struct relay *relay = arg;

	if ((events & (EPOLLERR | EPOLLHUP)) && !(events & EPOLLOUT)) {
		finish(relay);
		return;
	}
	/* A pipe without readers polls EPOLLERR and EPOLLOUT; with nothing to write nothing else would notice. */
	if ((events & EPOLLERR) && ring_used(relay->ring) == 0) {
		finish(relay);
		return;
	}
	pump(relay, false, true);
}

struct relay *relay_create(struct loop *loop, int source, int destination, relay_done *done, void *arg, struct err *err)
{
	struct relay *relay = calloc(1, sizeof *relay);

	if (relay)
		relay->ring = ring_create(RING_BYTES);
	if (!relay || !relay->ring) {
		err_set(err, ENOMEM, "out of memory");
		free(relay);
		close(source);
		close(destination);
		return NULL;
	}
	relay->loop = loop;
	relay->done = done;
	relay->arg = arg;
	end_init(&relay->source, source);
	end_init(&relay->destination, destination);
	if (arm(relay) < 0) {
		err_set_errno(err, "cannot wait for a stream");
		relay_destroy(relay);
		return NULL;
	}
	assert(!relay->source.always_ready || !relay->destination.always_ready);
	return relay;
}

void relay_destroy(struct relay *relay)
{
	if (!relay)
		return;
	end_close(relay, &relay->source);
	end_close(relay, &relay->destination);
	ring_destroy(relay->ring);
	free(relay);
}

void relay_make_room(struct relay *relay)
{
	if (relay->destination.fd >= 0 && relay->destination.is_pipe)
		fcntl(relay->destination.fd, F_SETPIPE_SZ, PIPE_ROOM_BYTES);
}
