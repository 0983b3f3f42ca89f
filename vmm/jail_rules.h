/* SPDX-License-Identifier: Apache-2.0 */
/* jail_rules.h - the system calls of each kind of thread, and the filter made of them. */
#ifndef BULKHEAD_JAIL_RULES_H
#define BULKHEAD_JAIL_RULES_H

#include "common/call_filter.h"
#include "vmm/jail.h"

/* What every thread may do, then what this kind may do beyond it. */
extern const struct call_rules jail_common, jail_special[JAIL_THREADS];

/* Makes the filter; returns its length in instructions. */
unsigned jail_filter(enum jail_thread kind, struct sock_filter out[CALL_FILTER_MAX]);

#endif
