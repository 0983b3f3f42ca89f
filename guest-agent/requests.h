/* SPDX-License-Identifier: Apache-2.0 */
/*
 * requests.h - one table: request type, who handles it. Each request gets one reply.
 */
#ifndef BULKHEAD_AGENT_REQUESTS_H
#define BULKHEAD_AGENT_REQUESTS_H

#include <stdint.h>

struct agent;
struct conn;
struct proto_header;

/* A frame has come in. The connection may be gone afterwards. */
void requests_handle(struct agent *agent, struct conn *conn, const struct proto_header *frame, const uint8_t *payload);

#endif
