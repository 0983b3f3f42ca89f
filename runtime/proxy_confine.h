/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_confine.h - what the proxy gives up once its container stands, before any program of the container runs.
 *
 * From then on it reads what the guest says, and needs none of what a hole in that would be used for. What is left to
 * it are the system calls of runtime/proxy_rules.c, each with its reason, and of root's rights, if it looks after the
 * network, CAP_NET_ADMIN in the container's. For good: there is no way back.
 */
#ifndef BULKHEAD_RUNTIME_PROXY_CONFINE_H
#define BULKHEAD_RUNTIME_PROXY_CONFINE_H

#include <stdbool.h>

struct err;

int proxy_confine(bool needs_network, struct err *err);

#endif
