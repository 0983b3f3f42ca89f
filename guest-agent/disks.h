/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disks.h - the guest's numbers of the disks that a container is given (Device.disk in common/agent.proto).
 */
#ifndef BULKHEAD_AGENT_DISKS_H
#define BULKHEAD_AGENT_DISKS_H

#include "agent.pb.h"

struct err;

/* Puts them into the devices and into the device filter. ENODEV: the kernel shows no disk of that serial number. */
int disks_resolve(agent_Container *container, struct err *err);

#endif
