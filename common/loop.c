/* SPDX-License-Identifier: Apache-2.0 */
#include "common/loop.h"

#include "common/err.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS_PER_ROUND = 32 };

struct loop_watch {
	struct loop_watch *next, *prev; /* in loop->watches, or next alone in loop->removed */
	loop_callback *callback;
	void *arg;
	int fd;
	uint32_t events;
	bool removed;
};

struct loop {
	int epoll_fd;
	bool stopping;
	bool dispatching;
	int result;
	struct loop_watch *watches;
	struct loop_watch *removed; /* freed when no event of the round can name them any more */
};

struct loop *loop_create(struct err *err)
{
	struct loop *loop = calloc(1, sizeof *loop);

	if (!loop) {
		err_set(err, ENOMEM, "event loop: out of memory");
		return NULL;
	}
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		err_set_errno(err, "event loop: epoll_create1");
		free(loop);
		return NULL;
	}
	return loop;
}

static void free_removed(struct loop *loop)
{
	while (loop->removed) {
		struct loop_watch *watch = loop->removed;

		loop->removed = watch->next;
		free(watch);
	}
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	while (loop->watches)
		loop_remove(loop, loop->watches);
	free_removed(loop);
	close(loop->epoll_fd);
	free(loop);
}

struct loop_watch *loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_callback *callback, void *arg)
{
	struct loop_watch *watch = calloc(1, sizeof *watch);

	if (!watch)
		return NULL;
	watch->callback = callback;
	watch->arg = arg;
	watch->fd = fd;
	watch->events = events;
	struct epoll_event event = { .events = events, .data.ptr = watch };
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		int saved = errno;
		free(watch);
		errno = saved;
		return NULL;
	}
	watch->next = loop->watches;
	if (watch->next)
		watch->next->prev = watch;
	loop->watches = watch;
	return watch;
}

int loop_change(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
	assert(!watch->removed);
	if (watch->events == events)
		return 0;
	struct epoll_event event = { .events = events, .data.ptr = watch };
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event) < 0)
		return -1;
	watch->events = events;
	return 0;
}

void loop_remove(struct loop *loop, struct loop_watch *watch)
{
	if (!watch)
		return;
	assert(!watch->removed);
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	if (watch->prev)
		watch->prev->next = watch->next;
	else
		loop->watches = watch->next;
	if (watch->next)
		watch->next->prev = watch->prev;
	watch->removed = true;
	/* An event of this round may still point here, so the memory stays until the round is over. */
	watch->next = loop->removed;
	loop->removed = watch;
	if (!loop->dispatching)
		free_removed(loop);
}

int loop_step(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[EVENTS_PER_ROUND];
	int n = epoll_wait(loop->epoll_fd, events, EVENTS_PER_ROUND, timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -1;
	loop->dispatching = true;
	for (int i = 0; i < n; i++) {
		struct loop_watch *watch = events[i].data.ptr;

		if (!watch->removed)
			watch->callback(watch->arg, events[i].events);
	}
	loop->dispatching = false;
	free_removed(loop);
	return 0;
}

int loop_run(struct loop *loop)
{
	loop->stopping = false;
	while (!loop->stopping) {
		if (loop_step(loop, -1) < 0)
			return -1;
	}
	return loop->result;
}

void loop_stop(struct loop *loop, int result)
{
	loop->stopping = true;
	loop->result = result;
}
