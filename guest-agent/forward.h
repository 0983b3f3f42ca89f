/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forward.h - a connection from the host to a port of the guest's loopback: what `kubectl port-forward` reaches.
 */
#ifndef BULKHEAD_AGENT_FORWARD_H
#define BULKHEAD_AGENT_FORWARD_H

#include <stdint.h>

struct agent;

/*
 * Takes `connection`, a stream connection of the host's, and carries bytes both ways between it and what listens at
 * `port` of 127.0.0.1 or, if nothing does, of ::1. If neither can be reached the connection closes.
 */
void forward_start(struct agent *agent, int connection, uint16_t port);

#endif
