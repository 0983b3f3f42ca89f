/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup.h - which file a command name means, found as the process's user, inside the container.
 *
 * Engines turn the words of the failure into exit codes 126 and 127, so they are runc's to the letter.
 */
#ifndef BULKHEAD_AGENT_LOOKUP_H
#define BULKHEAD_AGENT_LOOKUP_H

#include <limits.h>

struct err;

/* The last value of NAME in an environment ended by NULL, or NULL. */
const char *lookup_environment(char *const *env, const char *name);

/*
 * `name` with a slash is itself; any other is looked for along PATH of `env` (a usual one if it has none at all).
 * Relative names and entries begin at the current directory.
 */
int lookup_program(const char *name, char *const *env, char out[PATH_MAX], struct err *err);

#endif
