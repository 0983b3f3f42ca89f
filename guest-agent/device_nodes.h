/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device_nodes.h - device nodes for containers that can make none: in a user namespace, or on a root that is read-only.
 *
 * The agent makes them beforehand, in the guest's /dev; the child that builds the container binds them to their places
 * (devices.c). Then their names go, the binds keep them.
 */
#ifndef BULKHEAD_AGENT_DEVICE_NODES_H
#define BULKHEAD_AGENT_DEVICE_NODES_H

#include "guest-agent/message.h"

#include <limits.h>

struct err;

/* All that the container lists, whether they are needed or not is seen later. Owners are mapped to the guest's ids. */
int device_nodes_make(const char *id, const agent_Container *container, struct err *err);

/* Where the container's device of that index is, if there is one. */
void device_nodes_path(const char *id, size_t index, char out[PATH_MAX]);

void device_nodes_remove(const char *id);

#endif
