/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/pump.h"

#include "common/auto.h"
#include "common/loop.h"
#include "common/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

enum { BUFFER_SIZE = 64 << 10 };

struct pump {
	struct loop *loop;
	int source, sink;
	struct loop_watch *source_watch, *sink_watch; /* only while there is something to wait for */
	struct ring *ring;
	bool source_ended;
	bool draining;
	bool suspended;
	size_t drain_left; /* while draining: bytes still to be read */
	pump_ended *ended;
	void *arg;
};

static void source_ready(void *arg, uint32_t events);
static void sink_ready(void *arg, uint32_t events);

/*
 * A watch exists only while it is wanted: epoll reports a hang-up whatever is asked for, and one that cannot be acted
 * on now (a full buffer, a reader that is away) would turn the loop into a busy one.
 */
static bool want(struct pump *pump, struct loop_watch **watch, bool wanted, int fd, uint32_t events,
		 loop_callback *callback)
{
	if (wanted && !*watch) {
		*watch = loop_add_fd(pump->loop, fd, events, callback, pump);
		return *watch != NULL;
	}
	if (!wanted && *watch) {
		loop_remove(pump->loop, *watch);
		*watch = NULL;
	}
	return true;
}

static void read_some(struct pump *pump)
{
	size_t limit = pump->draining ? pump->drain_left : BUFFER_SIZE;
	ssize_t n = limit ? ring_read_from(pump->ring, pump->source, limit) : 0;

	if (n > 0 && pump->draining)
		pump->drain_left -= (size_t)n;
	if (n > 0 || (n < 0 && errno == EINTR))
		return;
	/* Without a writer that counts, "nothing now" is "nothing more". */
	if (n < 0 && errno == EAGAIN && !pump->draining)
		return;
	/* End of file; EIO is a terminal's. After another error there is nothing to read either. */
	pump->source_ended = true;
}

static bool write_some(struct pump *pump)
{
	ssize_t n = ring_write_to(pump->ring, pump->sink);

	return n >= 0 || errno == EINTR || errno == EAGAIN;
}

static bool can_read(const struct pump *pump)
{
	return !pump->source_ended && ring_room(pump->ring) > 0;
}

/*
 * One round of work, then waits for what is missing. May end the pump. While draining, the source is read until it has
 * nothing: waiting for it to become readable could take for ever.
 */
static void step(struct pump *pump)
{
	bool going = true;

	if (pump->suspended)
		return;
	do {
		if (can_read(pump))
			read_some(pump);
		if (ring_used(pump->ring) > 0)
			going = write_some(pump);
	} while (going && pump->draining && can_read(pump));

	bool holds_some = ring_used(pump->ring) > 0;
	if (going && pump->source_ended && !holds_some)
		going = false;
	if (going)
		going = want(pump, &pump->source_watch, can_read(pump), pump->source, EPOLLIN, source_ready) &&
			want(pump, &pump->sink_watch, holds_some, pump->sink, EPOLLOUT, sink_ready);
	if (!going) {
		want(pump, &pump->source_watch, false, -1, 0, NULL);
		want(pump, &pump->sink_watch, false, -1, 0, NULL);
		pump->ended(pump->arg);
	}
}

static void source_ready(void *arg, uint32_t events)
{
	(void)events;
	step(arg);
}

static void sink_ready(void *arg, uint32_t events)
{
	(void)events;
	step(arg);
}

struct pump *pump_create(struct loop *loop, int source, int sink, pump_ended *ended, void *arg)
{
	struct pump *pump = calloc(1, sizeof *pump);

	if (!pump) {
		close_fd(&source);
		close_fd(&sink);
		return NULL;
	}
	*pump = (struct pump){ .loop = loop, .source = source, .sink = sink, .ended = ended, .arg = arg };
	pump->ring = ring_create(BUFFER_SIZE);
	if (!pump->ring || fcntl(source, F_SETFL, O_NONBLOCK) < 0 || fcntl(sink, F_SETFL, O_NONBLOCK) < 0 ||
	    !want(pump, &pump->source_watch, true, source, EPOLLIN, source_ready)) {
		pump_destroy(pump);
		return NULL;
	}
	return pump;
}

void pump_destroy(struct pump *pump)
{
	if (!pump)
		return;
	loop_remove(pump->loop, pump->source_watch);
	loop_remove(pump->loop, pump->sink_watch);
	close_fd(&pump->source);
	close_fd(&pump->sink);
	ring_destroy(pump->ring);
	free(pump);
}

bool pump_settle(struct pump *pump)
{
	struct pollfd source = { .fd = pump->source, .events = POLLIN }, sink = { .fd = pump->sink, .events = POLLOUT };

	if (!(can_read(pump) && poll(&source, 1, 0) > 0) && !(ring_used(pump->ring) && poll(&sink, 1, 0) > 0))
		return false;
	step(pump);
	return true;
}

void pump_suspend(struct pump *pump)
{
	pump->suspended = true;
	want(pump, &pump->source_watch, false, -1, 0, NULL);
	want(pump, &pump->sink_watch, false, -1, 0, NULL);
}

void pump_resume(struct pump *pump)
{
	if (!pump->suspended)
		return;
	pump->suspended = false;
	step(pump);
}

static void replace(int *fd, int with)
{
	close_fd(fd);
	*fd = with;
	(void)fcntl(with, F_SETFL, O_NONBLOCK);
}

void pump_set_source(struct pump *pump, int fd)
{
	replace(&pump->source, fd);
	pump->source_ended = false;
}

void pump_set_sink(struct pump *pump, int fd)
{
	replace(&pump->sink, fd);
}

int pump_sink(const struct pump *pump)
{
	return pump->sink;
}

void pump_drain(struct pump *pump, size_t hidden)
{
	int held;

	if (pump->draining || pump->source_ended)
		return;
	if (ioctl(pump->source, FIONREAD, &held) < 0 || held < 0)
		held = 0;
	pump->draining = true;
	pump->drain_left = (size_t)held + hidden;
	step(pump);
}
