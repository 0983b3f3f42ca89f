/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver_filter.h - BPF programs on the guest's topmost cgroup, which lead what goes to port 53 of some addresses to
 * another port of the same address, and show its answers as coming from port 53.
 *
 * They change socket addresses, not packets: a container may itself listen on port 53 of all addresses, as it may with
 * Docker's own rules, and the kernel needs no packet filter.
 */
#ifndef BULKHEAD_AGENT_RESOLVER_FILTER_H
#define BULKHEAD_AGENT_RESOLVER_FILTER_H

#include <stddef.h>
#include <stdint.h>

struct err;

enum { RESOLVER_FILTERS = 4 };

/* Attaches the programs and puts them into `fds`, which the caller closes after resolver_filter_detach. */
int resolver_filter_attach(int cgroup_fd, const uint32_t *addresses, size_t count, uint16_t port,
			   int fds[RESOLVER_FILTERS], struct err *err);
void resolver_filter_detach(int cgroup_fd, int fds[RESOLVER_FILTERS]);

#endif
