/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hotplug.h - devices of the monitor's that come and go while the guest runs, other than network interfaces (net.h).
 * The agent's one thread.
 */
#ifndef BULKHEAD_AGENT_HOTPLUG_H
#define BULKHEAD_AGENT_HOTPLUG_H

#include "agent.pb.h"

struct agent;
struct err;

/* The driver has probed it when this returns; one that is there already is fine. */
int hotplug_add(struct agent *agent, const agent_DeviceAddRequest *request, struct err *err);
int hotplug_remove(struct agent *agent, const agent_DeviceRemoveRequest *request, struct err *err);

#endif
