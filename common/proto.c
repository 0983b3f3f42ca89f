/* SPDX-License-Identifier: Apache-2.0 */
#include "common/proto.h"

static const struct {
	const char *name;
	uint32_t max;
} types[PROTO_TYPE_COUNT] = {
	[PROTO_ERROR] = { "error", PROTO_SMALL_MAX },
	[PROTO_HELLO] = { "hello", 64 },
	[PROTO_HELLO_REPLY] = { "hello reply", 64 },
	[PROTO_CREATE] = { "create", PROTO_PAYLOAD_MAX },
	[PROTO_CREATE_REPLY] = { "create reply", 64 },
	[PROTO_START] = { "start", 2048 },
	[PROTO_START_REPLY] = { "start reply", 0 },
	[PROTO_EXEC] = { "exec", PROTO_PAYLOAD_MAX },
	[PROTO_EXEC_REPLY] = { "exec reply", 64 },
	[PROTO_WAIT] = { "wait", 2048 },
	[PROTO_WAIT_REPLY] = { "wait reply", 64 },
	[PROTO_KILL] = { "kill", 2048 },
	[PROTO_KILL_REPLY] = { "kill reply", 0 },
	[PROTO_RESIZE] = { "resize", 2048 },
	[PROTO_RESIZE_REPLY] = { "resize reply", 0 },
	[PROTO_PS] = { "ps", 2048 },
	[PROTO_PS_REPLY] = { "ps reply", PROTO_PAYLOAD_MAX },
	[PROTO_UPDATE] = { "update", PROTO_SMALL_MAX },
	[PROTO_UPDATE_REPLY] = { "update reply", 0 },
	[PROTO_STATS] = { "stats", 2048 },
	[PROTO_STATS_REPLY] = { "stats reply", PROTO_SMALL_MAX },
	[PROTO_DELETE] = { "delete", 2048 },
	[PROTO_DELETE_REPLY] = { "delete reply", 0 },
	[PROTO_SHUTDOWN] = { "shutdown", 0 },
	[PROTO_SHUTDOWN_REPLY] = { "shutdown reply", 0 },
	[PROTO_ATTACH] = { "attach", 2048 },
	[PROTO_ATTACH_REPLY] = { "attach reply", 0 },
	[PROTO_FREEZE] = { "freeze", 2048 },
	[PROTO_FREEZE_REPLY] = { "freeze reply", 0 },
	[PROTO_OOM_WAIT] = { "oom wait", 2048 },
	[PROTO_OOM_WAIT_REPLY] = { "oom wait reply", 0 },
	[PROTO_NET_ADD] = { "net add", PROTO_PAYLOAD_MAX },
	[PROTO_NET_ADD_REPLY] = { "net add reply", 0 },
	[PROTO_NET_REMOVE] = { "net remove", 64 },
	[PROTO_NET_REMOVE_REPLY] = { "net remove reply", 0 },
	[PROTO_LOOKUP] = { "lookup", PROTO_LOOKUP_HEAD + PROTO_LOOKUP_MESSAGE_MAX },
	[PROTO_LOOKUP_REPLY] = { "lookup reply", PROTO_LOOKUP_REPLY_MAX },
	[PROTO_RESOLVER] = { "resolver", 64 },
	[PROTO_RESOLVER_REPLY] = { "resolver reply", 0 },
	[PROTO_FORWARD] = { "forward", 64 },
	[PROTO_FORWARD_REPLY] = { "forward reply", 0 },
	[PROTO_DEVICE_ADD] = { "device add", 64 },
	[PROTO_DEVICE_ADD_REPLY] = { "device add reply", 0 },
	[PROTO_DEVICE_REMOVE] = { "device remove", 64 },
	[PROTO_DEVICE_REMOVE_REPLY] = { "device remove reply", 0 },
	[PROTO_SUSPEND] = { "suspend", 2048 },
	[PROTO_SUSPEND_REPLY] = { "suspend reply", 0 },
	[PROTO_RELEASE] = { "release", 2048 },
	[PROTO_RELEASE_REPLY] = { "release reply", 0 },
	[PROTO_ADOPT] = { "adopt", PROTO_SMALL_MAX },
	[PROTO_ADOPT_REPLY] = { "adopt reply", 64 },
};

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void proto_pack_header(uint8_t out[PROTO_HEADER_SIZE], const struct proto_header *header)
{
	put32(out, header->length);
	out[4] = (uint8_t)header->type;
	out[5] = (uint8_t)(header->type >> 8);
	out[6] = out[7] = 0;
	put32(out + 8, header->id);
}

bool proto_unpack_header(const uint8_t in[PROTO_HEADER_SIZE], struct proto_header *header)
{
	header->length = get32(in);
	header->type = (uint16_t)(in[4] | in[5] << 8);
	header->id = get32(in + 8);
	return in[6] == 0 && in[7] == 0;
}

bool proto_length_is_valid(uint16_t type, uint32_t length)
{
	if (type >= PROTO_TYPE_COUNT || !types[type].name)
		return length <= PROTO_SMALL_MAX;
	return length <= types[type].max;
}

const char *proto_type_name(uint16_t type)
{
	return type < PROTO_TYPE_COUNT && types[type].name ? types[type].name : "unknown";
}
