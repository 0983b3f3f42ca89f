/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/frame.h"

#include "runtime/plain_text.h"

#include "common/err.h"
#include "common/proto.h"

#include "agent.pb.h"

#include <errno.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <stdlib.h>
#include <string.h>

/* The payload after `reserve` bytes for a header. */
static int encode(const struct pb_msgdesc_s *fields, const void *message, size_t reserve, uint8_t **out, size_t *length,
		  struct err *err)
{
	size_t size;

	if (!pb_get_encoded_size(&size, fields, message))
		return err_set(err, EINVAL, "cannot encode a message for the guest");
	if (size > PROTO_PAYLOAD_MAX)
		return err_set(err, E2BIG, "the container's description takes %zu bytes, more than the %u a VM is told",
			       size, PROTO_PAYLOAD_MAX);
	uint8_t *bytes = malloc(reserve + size + 1);
	if (!bytes)
		return err_set(err, ENOMEM, "out of memory");
	pb_ostream_t stream = pb_ostream_from_buffer(bytes + reserve, size);
	if (!pb_encode(&stream, fields, message)) {
		free(bytes);
		return err_set(err, EINVAL, "cannot encode a message for the guest: %s", PB_GET_ERROR(&stream));
	}
	*out = bytes;
	*length = reserve + size;
	return 0;
}

int frame_encode(uint16_t type, uint32_t id, const struct pb_msgdesc_s *fields, const void *message, uint8_t **out,
		 size_t *length, struct err *err)
{
	if (encode(fields, message, PROTO_HEADER_SIZE, out, length, err) < 0)
		return -1;
	struct proto_header header = {
		.type = type,
		.id = id,
		.length = (uint32_t)(*length - PROTO_HEADER_SIZE),
	};
	proto_pack_header(*out, &header);
	return 0;
}

int frame_encode_payload(const struct pb_msgdesc_s *fields, const void *message, uint8_t **out, size_t *length,
			 struct err *err)
{
	return encode(fields, message, 0, out, length, err);
}

int frame_decode(const struct pb_msgdesc_s *fields, const void *payload, size_t length, void *message, struct err *err)
{
	pb_istream_t stream = pb_istream_from_buffer(payload, length);

	if (!pb_decode(&stream, fields, message)) /* releases what it allocated */
		return err_set(err, EPROTO, "the guest's answer cannot be read: %s", PB_GET_ERROR(&stream));
	return 0;
}

void frame_decode_error(const void *payload, size_t length, struct err *err)
{
	agent_Error message = agent_Error_init_zero;

	if (frame_decode(agent_Error_fields, payload, length, &message, err) < 0)
		return;
	char *text = message.text;
	if (text && *text) {
		plain_text(text);
		err_set(err, (int)(message.code & 0xfff), "%s", text);
	} else {
		err_set(err, (int)(message.code & 0xfff), "the guest refused: %s",
			strerror((int)(message.code & 0xfff)));
	}
	pb_release(agent_Error_fields, &message);
}
