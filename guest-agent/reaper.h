/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reaper.h - PID 1's oldest duty: every process that ends is waited for, here and nowhere else.
 */
#ifndef BULKHEAD_AGENT_REAPER_H
#define BULKHEAD_AGENT_REAPER_H

struct agent;
struct err;

int reaper_create(struct agent *agent, struct err *err);

#endif
