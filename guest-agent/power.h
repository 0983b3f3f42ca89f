/* SPDX-License-Identifier: Apache-2.0 */
/*
 * power.h - the end of the VM, and what the host learns of it: through /dev/bulkhead, or without it as well as may be.
 */
#ifndef BULKHEAD_AGENT_POWER_H
#define BULKHEAD_AGENT_POWER_H

#include <stdint.h>

struct agent;
struct err;

/* A boot time stamp (common/sandbox_regs.h); nothing without the device. */
void power_stamp(const struct agent *agent, uint32_t stamp);

/* What was asked for: kills, syncs, unmounts, powers off. */
void power_off(struct agent *agent) __attribute__((noreturn));

/* The agent cannot go on. The text reaches the user. */
void power_off_failed(const struct agent *agent, const struct err *err) __attribute__((noreturn));

#endif
