/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/message.h"

#include <pb_decode.h>
#include <pb_encode.h>
#include <stdlib.h>

void *message_decode(const pb_msgdesc_t *fields, size_t size, const uint8_t *data, size_t length)
{
	void *message = calloc(1, size);
	pb_istream_t stream = pb_istream_from_buffer(data, length);

	if (!message)
		return NULL;
	/* On failure pb_decode has released what it had allocated. */
	if (!pb_decode(&stream, fields, message)) {
		free(message);
		return NULL;
	}
	return message;
}

void message_free(const pb_msgdesc_t *fields, void *message)
{
	if (!message)
		return;
	pb_release(fields, message);
	free(message);
}

uint8_t *message_encode(const pb_msgdesc_t *fields, const void *message, size_t headroom, size_t *length)
{
	size_t size;

	if (!pb_get_encoded_size(&size, fields, message))
		return NULL;
	uint8_t *out = malloc(headroom + size);
	if (!out)
		return NULL;
	pb_ostream_t stream = pb_ostream_from_buffer(out + headroom, size);
	if (!pb_encode(&stream, fields, message)) {
		free(out);
		return NULL;
	}
	*length = size;
	return out;
}
