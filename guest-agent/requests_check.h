/* SPDX-License-Identifier: Apache-2.0 */
/*
 * requests_check.h - from the bytes of a request to a message whose every field can be used. No side effects.
 *
 * The host has checked the meaning; this makes sure that nothing in the agent has to check form again: strings that
 * must be there are, names are single path components, arrays of instructions are whole. Fuzzed (tests/fuzz).
 */
#ifndef BULKHEAD_AGENT_REQUESTS_CHECK_H
#define BULKHEAD_AGENT_REQUESTS_CHECK_H

#include "guest-agent/message.h"

struct err;

/*
 * The decoded, checked message of a request type, allocated; `*fields` is what message_free wants. NULL with the error:
 * ENOSYS for a type that is no request.
 */
void *requests_decode(uint16_t type, const uint8_t *payload, size_t length, const pb_msgdesc_t **fields,
		      struct err *err);

#endif
