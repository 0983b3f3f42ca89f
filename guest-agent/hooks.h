/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hooks.h - the startContainer hooks: programs of the image, run in the container just before its own program.
 *
 * Called in the child that becomes the container's process, as its user; the hooks have that process's capabilities and
 * seccomp filter. Each hook gets the container's state on
 * standard input; the first that fails or takes too long ends the start.
 */
#ifndef BULKHEAD_AGENT_HOOKS_H
#define BULKHEAD_AGENT_HOOKS_H

#include "guest-agent/message.h"

struct err;

int hooks_run(const agent_Container *container, const agent_Process *process, struct err *err);

#endif
