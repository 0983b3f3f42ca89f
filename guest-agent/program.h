/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program.h - from the agent's child to the user's program: user, directory, rights, and the exec.
 *
 * program_prepare does all that can fail for the user's reasons, so that `create` can report it; program_exec does the
 * rest when `start` comes. Between them the child waits as the right user, in the right place, with the program found.
 */
#ifndef BULKHEAD_AGENT_PROGRAM_H
#define BULKHEAD_AGENT_PROGRAM_H

#include "guest-agent/message.h"

#include <limits.h>

struct err;

struct program {
	const agent_Process *process;
	char **args, **env; /* ended by NULL; HOME is in env */
	char path[PATH_MAX];
};

/* Inside the container's namespaces and root. */
int program_prepare(struct program *program, const agent_Process *process, struct err *err);

/* Takes on the capabilities and the seccomp filter of `process`: what comes after it runs in the caller under them. */
int program_confine(const agent_Process *process, struct err *err);

/* Does not return on success. Afterwards only descriptors 0, 1 and 2 are open. */
int program_exec(const struct program *program, struct err *err);

#endif
