/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_rules.h - the system calls of a confined proxy (runtime/proxy_confine.h), and the filter made of them. */
#ifndef BULKHEAD_RUNTIME_PROXY_RULES_H
#define BULKHEAD_RUNTIME_PROXY_RULES_H

#include "common/call_filter.h"

#include <sys/types.h>

extern const struct call_rules proxy_allowed, proxy_deadly;

/* For the process `own`; returns the filter's length in instructions. */
unsigned proxy_filter(pid_t own, struct sock_filter out[CALL_FILTER_MAX]);

#endif
