/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vsock_packet.h"

#include <assert.h>

static const char *const op_names[] = {
	[VSOCK_OP_INVALID] = "invalid",
	[VSOCK_OP_REQUEST] = "request",
	[VSOCK_OP_RESPONSE] = "response",
	[VSOCK_OP_RST] = "reset",
	[VSOCK_OP_SHUTDOWN] = "shutdown",
	[VSOCK_OP_RW] = "data",
	[VSOCK_OP_CREDIT_UPDATE] = "credit update",
	[VSOCK_OP_CREDIT_REQUEST] = "credit request",
};
static_assert(sizeof op_names / sizeof op_names[0] == VSOCK_OP_COUNT, "every operation has a name");

static uint8_t *put(uint8_t *p, uint64_t value, unsigned bytes)
{
	while (bytes--) {
		*p++ = (uint8_t)value;
		value >>= 8;
	}
	return p;
}

static uint64_t get(const uint8_t **p, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t) * (*p)++ << (8 * i);
	return value;
}

/* The two functions below list the fields in the order of struct virtio_vsock_hdr in the specification. */
void vsock_header_pack(uint8_t out[VSOCK_HEADER_SIZE], const struct vsock_header *header)
{
	uint8_t *p = out;

	p = put(p, header->src_cid, 8);
	p = put(p, header->dst_cid, 8);
	p = put(p, header->src_port, 4);
	p = put(p, header->dst_port, 4);
	p = put(p, header->len, 4);
	p = put(p, header->type, 2);
	p = put(p, header->op, 2);
	p = put(p, header->flags, 4);
	p = put(p, header->buf_alloc, 4);
	p = put(p, header->fwd_cnt, 4);
	assert(p == out + VSOCK_HEADER_SIZE);
}

void vsock_header_unpack(const uint8_t in[VSOCK_HEADER_SIZE], struct vsock_header *header)
{
	const uint8_t *p = in;

	header->src_cid = get(&p, 8);
	header->dst_cid = get(&p, 8);
	header->src_port = (uint32_t)get(&p, 4);
	header->dst_port = (uint32_t)get(&p, 4);
	header->len = (uint32_t)get(&p, 4);
	header->type = (uint16_t)get(&p, 2);
	header->op = (uint16_t)get(&p, 2);
	header->flags = (uint32_t)get(&p, 4);
	header->buf_alloc = (uint32_t)get(&p, 4);
	header->fwd_cnt = (uint32_t)get(&p, 4);
	assert(p == in + VSOCK_HEADER_SIZE);
}

const char *vsock_op_name(uint16_t op)
{
	return op < VSOCK_OP_COUNT ? op_names[op] : "unknown";
}
