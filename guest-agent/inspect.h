/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inspect.h - what runs in a container, and what it uses: the answers to PS and STATS.
 *
 * Names and command lines are the container's to choose. They are cut to a bounded length here, and the host treats
 * them as hostile text.
 */
#ifndef BULKHEAD_AGENT_INSPECT_H
#define BULKHEAD_AGENT_INSPECT_H

struct container;
struct reply;

void inspect_processes(const struct container *container, struct reply *reply);
void inspect_stats(const struct container *container, struct reply *reply);

#endif
