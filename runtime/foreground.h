/* SPDX-License-Identifier: Apache-2.0 */
/*
 * foreground.h - a command that stays with its container process: passes signals on, lends it the user's terminal, and
 * learns how it ended.
 */
#ifndef BULKHEAD_RUNTIME_FOREGROUND_H
#define BULKHEAD_RUNTIME_FOREGROUND_H

#include <sys/types.h>

struct err;

struct foreground {
	pid_t pid;           /* the proxy, our child */
	int sync_fd;         /* its last words, for the user */
	int master_fd;       /* of the container's terminal (taken); -1: it has our streams itself */
	int timeout_seconds; /* 0: none; kills it afterwards */
};

/*
 * Returns an exit status as a shell gives it: the process's, or 128 + the signal that ended it; 124 after a time-out.
 * The proxy is reaped then. The user's terminal is as it was. -1 with the error set if waiting was impossible.
 */
int foreground_wait(const struct foreground *foreground, struct err *err);

#endif
