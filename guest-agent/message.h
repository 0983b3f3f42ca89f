/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.h - payloads of frames: between bytes and the structs nanopb generates from common/agent.proto.
 *
 * A decoded message owns memory: message_free. A string that the sender left out is NULL in the struct; message_text
 * reads it as empty, which the protocol says it is.
 */
#ifndef BULKHEAD_AGENT_MESSAGE_H
#define BULKHEAD_AGENT_MESSAGE_H

#include "agent.pb.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A zeroed, allocated struct of `size` filled from `data`. NULL if it does not decode or memory is short. */
void *message_decode(const pb_msgdesc_t *fields, size_t size, const uint8_t *data, size_t length);
void message_free(const pb_msgdesc_t *fields, void *message); /* NULL is fine */

/* Allocated bytes with `headroom` free ones before them, or NULL. `length` is that of the payload alone. */
uint8_t *message_encode(const pb_msgdesc_t *fields, const void *message, size_t headroom, size_t *length);

static inline const char *message_text(const char *text)
{
	return text ? text : "";
}

#endif
