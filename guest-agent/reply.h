/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply.h - the one answer a request gets, now or later.
 *
 * Made when the request comes in; reply_ok, reply_message or reply_error sends it and frees it. Until then it can wait
 * in a list; reply_drop takes those of a connection that has gone out of one.
 */
#ifndef BULKHEAD_AGENT_REPLY_H
#define BULKHEAD_AGENT_REPLY_H

#include "guest-agent/message.h"

struct conn;
struct err;

struct reply {
	struct reply *next;
	struct conn *conn;
	uint32_t id;
	uint16_t type; /* of the request */
};

/* NULL when out of memory. */
struct reply *reply_create(struct conn *conn, uint16_t type, uint32_t id);

/* NULL as reply is fine everywhere: whoever asked has gone. */
void reply_ok(struct reply *reply); /* Empty */
void reply_message(struct reply *reply, const pb_msgdesc_t *fields, const void *message);
void reply_error(struct reply *reply, const struct err *err);

void reply_push(struct reply **list, struct reply *reply);
void reply_all_ok(struct reply **list);
void reply_all_error(struct reply **list, const struct err *err);

/* Frees, without sending, those of `conn` (all, if it is NULL). */
void reply_drop(struct reply **list, const struct conn *conn);

#endif
