/* SPDX-License-Identifier: Apache-2.0 */
/*
 * suspend.h - a container that stands still while its VM is saved, and what becomes of it in the original and in each
 * copy.
 *
 * SUSPEND stops the container's processes and is answered when they have stopped, their output is on its way and their
 * files are written back. It lasts until RELEASE, or until the connection that asked for it ends. In a copy that
 * connection ends first of all, as all connections do: then the agent finds that it is another guest, makes it one of
 * its own (identity.h), keeps the streams for those who come, and says that it is ready. The container stands still
 * until a proxy has adopted it and START lets it go on.
 *
 * Only a VM's only container can be suspended. What execs there were dies with its connection, in a copy too.
 */
#ifndef BULKHEAD_AGENT_SUSPEND_H
#define BULKHEAD_AGENT_SUSPEND_H

#include "guest-agent/message.h"

struct agent;
struct conn;
struct container;
struct reply;

void suspend_container(struct agent *agent, const char *id, struct reply *reply);
void suspend_release(struct agent *agent, const char *id, struct reply *reply);
void suspend_adopt(struct agent *agent, const agent_AdoptRequest *request, struct reply *reply);

/* START of an adopted container. `realtime_ns` 0: the clock is right. */
void suspend_start(struct container *container, int64_t realtime_ns, struct reply *reply);

/* The kernel says that every process has stopped. */
void suspend_settled(struct container *container);

void suspend_connection_closed(struct agent *agent, const struct conn *conn);

#endif
