/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: above all, what may be removed and added while it is calling. */
#include "common/err.h"
#include "common/loop.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

enum { FDS = 40 }; /* more than one round takes */

struct watcher {
	struct fixture *f;
	struct loop_watch *watch;
	int fd;
	unsigned calls;
	uint32_t events;
	void (*act)(struct watcher *w);
};

struct fixture {
	struct loop *loop;
	struct watcher watchers[FDS];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct err err = ERR_INIT;

	f->loop = loop_create(&err);
	for (unsigned i = 0; i < FDS; i++) {
		f->watchers[i].f = f;
		f->watchers[i].fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	}
	*state = f;
	return f->loop ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_destroy(f->loop);
	for (unsigned i = 0; i < FDS; i++)
		close(f->watchers[i].fd);
	free(f);
	return 0;
}

static void called(void *arg, uint32_t events)
{
	struct watcher *w = arg;

	w->calls++;
	w->events = events;
	if (w->act)
		w->act(w);
}

static void watch(struct watcher *w)
{
	w->watch = loop_add_fd(w->f->loop, w->fd, EPOLLIN, called, w);
	assert_non_null(w->watch);
}

static void make_ready(struct watcher *w)
{
	assert_return_code(eventfd_write(w->fd, 1), errno);
}

static void step(struct fixture *f)
{
	assert_return_code(loop_step(f->loop, 0), errno);
}

static void test_loop_idle_calls_nobody(void **state)
{
	struct fixture *f = *state;

	watch(&f->watchers[0]);
	step(f);
	assert_int_equal(f->watchers[0].calls, 0);
}

static void test_loop_ready_fd_is_called_until_it_is_read(void **state)
{
	struct fixture *f = *state;
	struct watcher *w = &f->watchers[0];
	eventfd_t value;

	watch(w);
	make_ready(w);
	step(f);
	step(f);
	assert_int_equal(w->calls, 2);
	assert_int_equal(w->events, EPOLLIN);
	eventfd_read(w->fd, &value);
	step(f);
	assert_int_equal(w->calls, 2);
}

static void test_loop_change_changes_what_is_waited_for(void **state)
{
	struct fixture *f = *state;
	struct watcher *w = &f->watchers[0];

	watch(w);
	make_ready(w);
	assert_return_code(loop_change(f->loop, w->watch, 0), errno);
	step(f);
	assert_int_equal(w->calls, 0);
	assert_return_code(loop_change(f->loop, w->watch, EPOLLOUT), errno);
	assert_return_code(loop_change(f->loop, w->watch, EPOLLOUT), errno);
	step(f);
	assert_int_equal(w->calls, 1);
	assert_int_equal(w->events, EPOLLOUT);
}

static void remove_self(struct watcher *w)
{
	loop_remove(w->f->loop, w->watch);
	w->watch = NULL;
}

static void test_loop_watch_removing_itself_is_not_called_again(void **state)
{
	struct fixture *f = *state;
	struct watcher *w = &f->watchers[0];

	w->act = remove_self;
	watch(w);
	make_ready(w);
	step(f);
	step(f);
	assert_int_equal(w->calls, 1);
}

static void remove_others(struct watcher *w)
{
	for (unsigned i = 0; i < FDS; i++) {
		struct watcher *other = &w->f->watchers[i];

		if (other != w && other->watch)
			remove_self(other);
	}
}

static void test_loop_watch_removed_by_another_is_not_called_in_the_same_round(void **state)
{
	struct fixture *f = *state;
	unsigned calls = 0;

	for (unsigned i = 0; i < FDS; i++) {
		f->watchers[i].act = remove_others;
		watch(&f->watchers[i]);
		make_ready(&f->watchers[i]);
	}
	step(f);
	for (unsigned i = 0; i < FDS; i++)
		calls += f->watchers[i].calls;
	assert_int_equal(calls, 1); /* the first one removed all others that were ready with it */
}

/* The fd may be closed and its number used again at once: the old watch must not be taken for the new one. */
static void replace_next(struct watcher *w)
{
	struct watcher *next = w + 1;

	if (!next->watch)
		return;
	remove_self(next);
	close(next->fd);
	next->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	watch(next);
}

static void test_loop_watch_replaced_during_dispatch_waits_for_its_own_event(void **state)
{
	struct fixture *f = *state;
	struct watcher *first = &f->watchers[0], *second = &f->watchers[1];

	first->act = replace_next;
	watch(first);
	watch(second);
	make_ready(first);
	make_ready(second);
	step(f);
	/* Which came first is the kernel's choice; the replacement was never made ready. */
	assert_in_range(second->calls, 0, 1);
	unsigned before = second->calls;
	step(f);
	assert_int_equal(second->calls, before);
	make_ready(second);
	first->act = NULL;
	step(f);
	assert_int_equal(second->calls, before + 1);
}

static void add_next(struct watcher *w)
{
	struct watcher *next = w + 1;

	if (!next->watch) {
		watch(next);
		make_ready(next);
	}
}

static void test_loop_watch_added_during_dispatch_is_called_later(void **state)
{
	struct fixture *f = *state;

	f->watchers[0].act = add_next;
	watch(&f->watchers[0]);
	make_ready(&f->watchers[0]);
	step(f);
	assert_int_equal(f->watchers[1].calls, 0);
	step(f);
	assert_int_equal(f->watchers[1].calls, 1);
}

static void remove_and_add_self(struct watcher *w)
{
	remove_self(w);
	watch(w);
}

static void test_loop_watch_removed_and_added_again_goes_on(void **state)
{
	struct fixture *f = *state;
	struct watcher *w = &f->watchers[0];

	w->act = remove_and_add_self;
	watch(w);
	make_ready(w);
	for (unsigned i = 1; i <= 5; i++) {
		step(f);
		assert_int_equal(w->calls, i);
	}
}

static void test_loop_everybody_ready_is_called_in_the_end(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < FDS; i++) {
		f->watchers[i].act = remove_self;
		watch(&f->watchers[i]);
		make_ready(&f->watchers[i]);
	}
	step(f);
	step(f);
	for (unsigned i = 0; i < FDS; i++)
		assert_int_equal(f->watchers[i].calls, 1);
}

static void stop_with_seven(struct watcher *w)
{
	loop_stop(w->f->loop, 7);
}

static void test_loop_run_returns_what_stop_was_given(void **state)
{
	struct fixture *f = *state;

	f->watchers[0].act = stop_with_seven;
	watch(&f->watchers[0]);
	make_ready(&f->watchers[0]);
	assert_int_equal(loop_run(f->loop), 7);
	/* And it can be run again. */
	assert_int_equal(loop_run(f->loop), 7);
}

static void test_loop_hang_up_is_reported_without_being_asked_for(void **state)
{
	struct fixture *f = *state;
	struct watcher *w = &f->watchers[0];
	int pipe_fds[2];

	assert_return_code(pipe(pipe_fds), errno);
	close(w->fd);
	w->fd = pipe_fds[0];
	w->watch = loop_add_fd(f->loop, w->fd, 0, called, w);
	close(pipe_fds[1]);
	step(f);
	assert_int_equal(w->calls, 1);
	assert_int_equal(w->events, EPOLLHUP);
}

static void test_loop_add_of_a_bad_fd_fails_with_errno(void **state)
{
	struct fixture *f = *state;

	errno = 0;
	assert_null(loop_add_fd(f->loop, -1, EPOLLIN, called, NULL));
	assert_int_equal(errno, EBADF);
	loop_remove(f->loop, NULL);
	loop_destroy(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_loop_idle_calls_nobody),
		TEST(test_loop_ready_fd_is_called_until_it_is_read),
		TEST(test_loop_change_changes_what_is_waited_for),
		TEST(test_loop_watch_removing_itself_is_not_called_again),
		TEST(test_loop_watch_removed_by_another_is_not_called_in_the_same_round),
		TEST(test_loop_watch_replaced_during_dispatch_waits_for_its_own_event),
		TEST(test_loop_watch_added_during_dispatch_is_called_later),
		TEST(test_loop_watch_removed_and_added_again_goes_on),
		TEST(test_loop_everybody_ready_is_called_in_the_end),
		TEST(test_loop_run_returns_what_stop_was_given),
		TEST(test_loop_hang_up_is_reported_without_being_asked_for),
		TEST(test_loop_add_of_a_bad_fd_fails_with_errno),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
