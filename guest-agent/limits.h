/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits.h - resource limits, scheduling, priority and OOM score of a process that is about to exec.
 *
 * Set by the agent from outside, when the child has done all its work: then a limit cannot get in the way of that work,
 * and raising one needs no capability in the container's user namespace.
 */
#ifndef BULKHEAD_AGENT_LIMITS_H
#define BULKHEAD_AGENT_LIMITS_H

#include "guest-agent/message.h"

#include <sys/types.h>

struct err;

/* Descriptors enough for the agent itself. */
void limits_raise_own(void);

int limits_apply(pid_t pid, const agent_Process *process, struct err *err);

#endif
