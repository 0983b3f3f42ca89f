/* SPDX-License-Identifier: Apache-2.0 */
/* signals.h - signal names and numbers as users write them, and which of them a stand-in process passes on. */
#ifndef BULKHEAD_RUNTIME_SIGNALS_H
#define BULKHEAD_RUNTIME_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

struct err;

/* "9", "KILL", "SIGKILL", "sigkill", "RTMIN+3". Returns the number (0 to 64), or -1 with the error set. */
int signal_parse(const char *text, struct err *err);

/*
 * The signals that mean something to the process we stand in for: all that can be caught, but for SIGCHLD and SIGPIPE,
 * which are about us.
 */
void signal_forwardable(sigset_t *set);

/* Default handlers and nothing blocked, for a child before exec. */
void signal_reset_all(void);

#endif
