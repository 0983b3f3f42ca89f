/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hugepages.h - the guest's pool of huge pages (of 2 MiB, what its memory is made of): as many as its containers'
 * limits allow them together. The agent's one thread.
 */
#ifndef BULKHEAD_AGENT_HUGEPAGES_H
#define BULKHEAD_AGENT_HUGEPAGES_H

#include "agent.pb.h"

#include <stdint.h>

struct agent;
struct err;

/* What cgroup files say of it: -1 for nothing. */
int64_t hugepages_limit(const agent_FileValue *files, size_t count);

/* Makes the pool as large as the containers' huge_bytes. ENOMEM: the memory is not to be had in such pieces. */
int hugepages_fit(const struct agent *agent, struct err *err);

#endif
