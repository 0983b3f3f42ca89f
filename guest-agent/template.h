/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.h - a guest that is saved when it is ready, and continued many times.
 *
 * The monitor saves it at the stamp SANDBOX_STAMP_AGENT_READY, so the next instruction is the first of each copy, which
 * has to become one of its own before it listens to anyone. Nothing here is done in a guest that boots for itself.
 */
#ifndef BULKHEAD_AGENT_TEMPLATE_H
#define BULKHEAD_AGENT_TEMPLATE_H

#include <stdbool.h>

struct agent;
struct err;

/* The kernel's parameter bulkhead_template, which reaches its first process as a variable. */
bool template_is_wanted(void);

/* Before the stamp: what every container needs, and what is slow only the first time. */
int template_prepare(struct agent *agent, struct err *err);

/* After it: entropy and time of its own. */
int template_begin_again(struct agent *agent, struct err *err);

#endif
