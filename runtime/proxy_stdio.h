/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_stdio.h - the container process's standard streams: three one-way relays, or a terminal's two.
 *
 * Each stream is a connection of its own to the agent. The proxy's descriptors 0, 1 and 2 (or the terminal's slave) are
 * given up as their streams end, so that whoever reads them sees the end no later than the process's.
 */
#ifndef BULKHEAD_RUNTIME_PROXY_STDIO_H
#define BULKHEAD_RUNTIME_PROXY_STDIO_H

#include <stdbool.h>

struct err;
struct loop;
struct stdio;

struct stdio_callbacks {
	void (*attached)(void *arg);                /* all of them; once */
	void (*failed)(void *arg, const char *why); /* one could not be; once */
	void (*drained)(void *arg);                 /* all output is written or refused; once, not before `attached` */
};

/*
 * `terminal_fd` (taken) is the slave, or -1 for plain streams on 0, 1 and 2, which become /dev/null. The names must
 * stay valid. `preserved_fds` descriptors from 3 on (taken) are the process's, too, as streams of these numbers.
 * `notify_fd` (taken, or -1) is where one more goes, which the process has as a socket by name.
 */
struct stdio *stdio_connect(struct loop *loop, int dirfd, const char *container, const char *exec, int terminal_fd,
			    int preserved_fds, int notify_fd, const struct stdio_callbacks *callbacks, void *arg,
			    struct err *err);

/* The process exists: its streams can be attached. A connection that is not there yet follows when it is. */
void stdio_attach(struct stdio *stdio);

bool stdio_is_drained(const struct stdio *stdio);

/* The process has ended: no more input, and pipes get room for the rest of the output. */
void stdio_finish(struct stdio *stdio);

/* Ends everything; what was not written is lost. NULL is fine. */
void stdio_destroy(struct stdio *stdio);

#endif
