/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame.h - agent protocol messages to and from bytes, host side.
 *
 * Encoding: our own data, so failure means no memory. Decoding: the guest's bytes; a message that does not decode says
 * so and nothing else happens. Lengths were checked by proto_length_is_valid before a payload was even read.
 */
#ifndef BULKHEAD_RUNTIME_FRAME_H
#define BULKHEAD_RUNTIME_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct pb_msgdesc_s;

/* Header and payload in one allocation. */
int frame_encode(uint16_t type, uint32_t id, const struct pb_msgdesc_s *fields, const void *message, uint8_t **out,
		 size_t *length, struct err *err);

/* The payload alone. */
int frame_encode_payload(const struct pb_msgdesc_s *fields, const void *message, uint8_t **out, size_t *length,
			 struct err *err);

/* Into a zeroed message; undo with pb_release. */
int frame_decode(const struct pb_msgdesc_s *fields, const void *payload, size_t length, void *message, struct err *err);

/* The text of a PROTO_ERROR payload becomes the error; non-printing bytes are replaced, since it came from the guest.
 */
void frame_decode_error(const void *payload, size_t length, struct err *err);

#endif
