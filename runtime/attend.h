/* SPDX-License-Identifier: Apache-2.0 */
/* attend.h - starts a container that was just created and stays with it to its end: what `run` and `do` share. */
#ifndef BULKHEAD_RUNTIME_ATTEND_H
#define BULKHEAD_RUNTIME_ATTEND_H

#include <stdbool.h>

struct created;
struct err;

/*
 * Returns the process's exit status (128 + signal), or -1 with the error set. Removes the container, but for `keep`.
 * Closes `created`.
 */
int attend_container(struct created *created, bool keep, int timeout_seconds, struct err *err);

/* Starts it and leaves it to run by itself. Takes `created`, also if that fails: nothing is left of the container then.
 */
int leave_container(struct created *created, struct err *err);

#endif
