/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/reply.h"

#include "common/err.h"
#include "common/log.h"
#include "common/proto.h"
#include "guest-agent/conn.h"

#include <stdlib.h>

struct reply *reply_create(struct conn *conn, uint16_t type, uint32_t id)
{
	struct reply *reply = calloc(1, sizeof *reply);

	if (reply)
		*reply = (struct reply){ .conn = conn, .type = type, .id = id };
	return reply;
}

static void send_and_free(struct reply *reply, uint16_t type, const pb_msgdesc_t *fields, const void *message)
{
	size_t length;
	uint8_t *frame = message_encode(fields, message, PROTO_HEADER_SIZE, &length);

	if (frame && proto_length_is_valid(type, (uint32_t)length)) {
		conn_send(reply->conn, type, reply->id, frame, length);
	} else {
		/* Without an answer the peer would wait for ever; a closed connection it notices. */
		log_warn("no memory for a %s", proto_type_name(type));
		conn_close_after_reply(reply->conn);
	}
	free(frame);
	free(reply);
}

void reply_message(struct reply *reply, const pb_msgdesc_t *fields, const void *message)
{
	if (reply)
		send_and_free(reply, (uint16_t)(reply->type + 1), fields, message);
}

void reply_ok(struct reply *reply)
{
	const agent_Empty empty = agent_Empty_init_zero;

	reply_message(reply, agent_Empty_fields, &empty);
}

void reply_error(struct reply *reply, const struct err *err)
{
	struct err copy = *err;
	const agent_Error message = { .code = (uint32_t)copy.code, .text = copy.text };

	if (reply)
		send_and_free(reply, PROTO_ERROR, agent_Error_fields, &message);
}

void reply_push(struct reply **list, struct reply *reply)
{
	reply->next = *list;
	*list = reply;
}

static struct reply *pop(struct reply **list)
{
	struct reply *reply = *list;

	*list = reply->next;
	return reply;
}

void reply_all_ok(struct reply **list)
{
	while (*list)
		reply_ok(pop(list));
}

void reply_all_error(struct reply **list, const struct err *err)
{
	while (*list)
		reply_error(pop(list), err);
}

void reply_drop(struct reply **list, const struct conn *conn)
{
	while (*list) {
		if (!conn || (*list)->conn == conn)
			free(pop(list));
		else
			list = &(*list)->next;
	}
}
