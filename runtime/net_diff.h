/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_diff.h - what has changed about an interface since the guest was told of it.
 *
 * Two dumps of one namespace are never the same byte for byte: the kernel tells ages and counters too. Those are left
 * out of account.
 */
#ifndef BULKHEAD_RUNTIME_NET_DIFF_H
#define BULKHEAD_RUNTIME_NET_DIFF_H

#include "agent.pb.h"

struct err;

/*
 * Fills `update` with what makes `before` into `now`: messages that remove (RTM_DEL...), then those that add. It
 * borrows everything from the two but the list of messages, which net_diff_release frees. Returns 1 if there is a
 * difference, 0 if not, -1 with the error.
 */
int net_diff(const agent_NetAddRequest *before, const agent_NetAddRequest *now, agent_NetAddRequest *update,
	     struct err *err);
void net_diff_release(agent_NetAddRequest *update);

#endif
