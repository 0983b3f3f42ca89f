/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sysctl.h - kernel parameters of the container's namespaces.
 *
 * Called in the child, inside its namespaces: the kernel picks the namespace by the writer. Written through the agent's
 * own procfs, never through what the container has at /proc.
 */
#ifndef BULKHEAD_AGENT_SYSCTL_H
#define BULKHEAD_AGENT_SYSCTL_H

#include "guest-agent/message.h"

#include <limits.h>
#include <stdbool.h>

struct err;

/*
 * Those of the network (net.*), or the others. A container without a network namespace of its own has the guest's,
 * which belongs to the agent: root in a user namespace could not set anything there, so then the agent sets them.
 */
enum sysctl_part { SYSCTL_NETWORK = 1, SYSCTL_OTHERS = 2, SYSCTL_ALL = 3 };

int sysctl_apply(int proc_fd, const agent_Container *container, enum sysctl_part part, struct err *err);

/*
 * "net.ipv4.ip_forward" and "net/ipv4/conf/eth0.100/forwarding" as paths below /proc. Which of the two separates is
 * what comes first in the name (sysctl.d(5)). False if it is too long or would leave the folder.
 */
bool sysctl_path(const char *name, char out[PATH_MAX]);

#endif
