/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - the event loop: one per process, one thread on it, level-triggered.
 *
 * A watch calls back while its fd is ready. Timers are timerfds, signals signalfds, children pidfds: everything is an
 * fd, and the caller owns it. Removing a watch (its own or another's) during dispatch is safe: a removed watch is
 * never called again and its memory goes after the round. Adding one during dispatch is safe too. Not thread-safe:
 * only the loop's thread calls these.
 */
#ifndef BULKHEAD_LOOP_H
#define BULKHEAD_LOOP_H

#include <stdint.h>

struct err;
struct loop;
struct loop_watch;

/* `events` is the set of EPOLL* bits that are ready. */
typedef void loop_callback(void *arg, uint32_t events);

struct loop *loop_create(struct err *err);
void loop_destroy(struct loop *loop); /* frees the remaining watches; NULL is fine */

/* Watches `fd` for `events` (EPOLLIN, EPOLLOUT, with EPOLLET, or 0 for errors and hang-up only). NULL with errno set on
 * failure. */
struct loop_watch *loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_callback *callback, void *arg);

/* Changes what is waited for. No call to the kernel when nothing changes. Returns 0 or -1 with errno. */
int loop_change(struct loop *loop, struct loop_watch *watch, uint32_t events);

/* Before the fd is closed. NULL is fine. */
void loop_remove(struct loop *loop, struct loop_watch *watch);

/* Dispatches until loop_stop is called; returns what loop_stop was given, or -1 with errno if waiting failed. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop, int result);

/* One round, waiting at most `timeout_ms` (-1: for ever). Returns 0, or -1 with errno. */
int loop_step(struct loop *loop, int timeout_ms);

#endif
