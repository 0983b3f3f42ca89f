/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity.h - a guest that was saved and continued, perhaps many times at once, becomes one of its own.
 *
 * The monitor leaves generation, time and entropy in a page of the module's (common/sandbox_regs.h) before any
 * instruction of the copy runs. No user's program may run before identity_renew has; it wakes those that wait for a new
 * generation (/dev/bulkhead-generation, kmod/generation.c).
 */
#ifndef BULKHEAD_AGENT_IDENTITY_H
#define BULKHEAD_AGENT_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

struct agent;
struct err;

/* 1: this is another guest than at the last call, and has entropy and time of its own now; 0: the same; -1: neither. */
int identity_renew(struct agent *agent, struct err *err);

/* Sets the wall clock. */
int identity_set_clock(int64_t realtime_ns, struct err *err);

/*
 * In the mount namespace of the process behind `pidfd`: covers the kernel's boot id, which was chosen in another life,
 * and /etc/machine-id if that is asked for, by files with new ones. What is not there is not covered.
 */
int identity_cover_ids(const struct agent *agent, int pidfd, bool machine_id, struct err *err);

/* Host and domain name in its UTS namespace; an empty one stays as it is. */
int identity_set_names(int pidfd, const char *hostname, const char *domainname, struct err *err);

#endif
