/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent protocol from both ends: bytes are cut into frames as a connection would cut them, requests are decoded as
 * the agent does, replies as the host does. What decodes must be whole (every string ends, every count is of what is
 * there), and must say the same after it went through the encoder: a second trip changes nothing any more.
 *
 * Input: frames, one after the other. Seeds: tests/fuzz/make-agent-seeds. Three mutations of four get their headers
 * mended, so that the fuzzer's time goes into payloads and not into guessing lengths.
 *
 * Covers: runtime/frame.c common/proto.c
 */
#include "common/err.h"
#include "common/proto.h"
#include "runtime/frame.h"

/* The agent's objects are built for the guest; this file of it needs nothing but nanopb. */
#include "guest-agent/message.c"

#include "agent.pb.h"

#include <assert.h>
#include <errno.h>
#include <pb_decode.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

union any_message {
	agent_Hello hello;
	agent_Error error;
	agent_ContainerRequest container;
	agent_ProcessRequest process;
	agent_ProcessReply process_reply;
	agent_WaitReply wait;
	agent_KillRequest kill;
	agent_ResizeRequest resize;
	agent_AttachRequest attach;
	agent_FreezeRequest freeze;
	agent_PsReply ps;
	agent_UpdateRequest update;
	agent_StatsReply stats;
	agent_CreateRequest create;
	agent_ExecRequest exec;
};

/* As common/proto.h says it beside each type. */
static const pb_msgdesc_t *const fields_of[PROTO_TYPE_COUNT] = {
	[PROTO_ERROR] = agent_Error_fields,
	[PROTO_HELLO] = agent_Hello_fields,
	[PROTO_HELLO_REPLY] = agent_Hello_fields,
	[PROTO_CREATE] = agent_CreateRequest_fields,
	[PROTO_CREATE_REPLY] = agent_ProcessReply_fields,
	[PROTO_START] = agent_ContainerRequest_fields,
	[PROTO_EXEC] = agent_ExecRequest_fields,
	[PROTO_EXEC_REPLY] = agent_ProcessReply_fields,
	[PROTO_WAIT] = agent_ProcessRequest_fields,
	[PROTO_WAIT_REPLY] = agent_WaitReply_fields,
	[PROTO_KILL] = agent_KillRequest_fields,
	[PROTO_RESIZE] = agent_ResizeRequest_fields,
	[PROTO_PS] = agent_ContainerRequest_fields,
	[PROTO_PS_REPLY] = agent_PsReply_fields,
	[PROTO_UPDATE] = agent_UpdateRequest_fields,
	[PROTO_STATS] = agent_ContainerRequest_fields,
	[PROTO_STATS_REPLY] = agent_StatsReply_fields,
	[PROTO_DELETE] = agent_ContainerRequest_fields,
	[PROTO_ATTACH] = agent_AttachRequest_fields,
	[PROTO_FORWARD] = agent_ForwardRequest_fields,
	[PROTO_FREEZE] = agent_FreezeRequest_fields,
	[PROTO_OOM_WAIT] = agent_ContainerRequest_fields,
};

/* Every pointer the decoder may have left is followed by the encoder, so encoding is the check. */
static void check_round_trip(const pb_msgdesc_t *fields, void *message)
{
	union any_message again = { 0 };
	uint8_t *first, *second;
	size_t first_length, second_length;
	struct err err = ERR_INIT;

	if (frame_encode_payload(fields, message, &first, &first_length, &err) < 0) {
		/* What decoded may take more room encoded anew (a number in its longest form), never anything else. */
		assert(err.code == E2BIG);
		return;
	}
	assert(frame_decode(fields, first, first_length, &again, &err) == 0);
	assert(frame_encode_payload(fields, &again, &second, &second_length, &err) == 0);
	assert(second_length == first_length && memcmp(first, second, first_length) == 0);
	pb_release(fields, &again);
	free(first);
	free(second);
}

/* Guest side: requests. */
static void agent_reads(const pb_msgdesc_t *fields, const uint8_t *payload, size_t length)
{
	void *message = message_decode(fields, sizeof(union any_message), payload, length);

	if (message)
		check_round_trip(fields, message);
	message_free(fields, message);
}

/* Host side: replies. */
static void host_reads(const pb_msgdesc_t *fields, const uint8_t *payload, size_t length)
{
	union any_message message = { 0 };
	struct err err = ERR_INIT;

	if (frame_decode(fields, payload, length, &message, &err) < 0) {
		assert(err.code != 0 && err.text[0] != '\0');
		return;
	}
	check_round_trip(fields, &message);
	pb_release(fields, &message);
}

static void host_reads_error(const uint8_t *payload, size_t length)
{
	struct err err = ERR_INIT;

	frame_decode_error(payload, length, &err);
	/* It goes to the user's terminal. */
	assert(err.code != 0 && err.text[0] != '\0' && memchr(err.text, '\0', sizeof err.text));
	for (const char *c = err.text; *c; c++)
		assert((unsigned char)*c >= 0x20 && *c != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	while (size >= PROTO_HEADER_SIZE) {
		struct proto_header header;

		if (!proto_unpack_header(data, &header) || !proto_length_is_valid(header.type, header.length))
			break;
		data += PROTO_HEADER_SIZE;
		size -= PROTO_HEADER_SIZE;
		if (header.length > size)
			break;
		/* Of its own allocation, so that a read beyond the payload is seen. */
		uint8_t *payload = malloc(header.length ? header.length : 1);
		memcpy(payload, data, header.length);
		const pb_msgdesc_t *fields = header.type < PROTO_TYPE_COUNT ? fields_of[header.type] : NULL;
		if (header.type == PROTO_ERROR)
			host_reads_error(payload, header.length);
		if (fields && header.type % 2 == 0)
			agent_reads(fields, payload, header.length);
		else if (fields)
			host_reads(fields, payload, header.length);
		free(payload);
		data += header.length;
		size -= header.length;
	}
	return 0;
}

/* Walks the frames and makes each header one that is listened to; the last frame gets all that is left. */
static void mend(uint8_t *data, size_t size)
{
	while (size >= PROTO_HEADER_SIZE) {
		struct proto_header header;
		size_t left = size - PROTO_HEADER_SIZE;

		data[6] = data[7] = 0;
		proto_unpack_header(data, &header);
		header.type %= PROTO_TYPE_COUNT;
		if (header.length > left)
			header.length = (uint32_t)left;
		proto_pack_header(data, &header);
		data += PROTO_HEADER_SIZE + header.length;
		size -= PROTO_HEADER_SIZE + header.length;
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	size = LLVMFuzzerMutate(data, size, max_size);
	if (seed % 4)
		mend(data, size);
	return size;
}
