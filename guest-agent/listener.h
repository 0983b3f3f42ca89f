/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener.h - the ports the host connects to: vsock, from the host only. In the test build Unix sockets in a folder.
 */
#ifndef BULKHEAD_AGENT_LISTENER_H
#define BULKHEAD_AGENT_LISTENER_H

#include "guest-agent/conn.h"

struct err;

/* Listens for as long as the agent lives. */
int listener_create(struct agent *agent, enum conn_kind kind, struct err *err);

#endif
