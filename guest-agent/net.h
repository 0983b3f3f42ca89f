/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net.h - network interfaces of the guest: made known to the kernel, named, given addresses and routes.
 *
 * All containers of a VM use the guest's own network namespace, which is the agent's: the host's namespace is theirs in
 * the end. Nothing here waits for anything but the kernel's answers.
 */
#ifndef BULKHEAD_AGENT_NET_H
#define BULKHEAD_AGENT_NET_H

#include "guest-agent/message.h"

struct agent;
struct err;

int net_add(struct agent *agent, const agent_NetAddRequest *request, struct err *err);
int net_remove(struct agent *agent, const agent_NetRemoveRequest *request, struct err *err);

/* In a copy of the VM: its interfaces lead nowhere, and those that it is to have come by net_add. */
void net_forget_all(struct agent *agent);

#endif
