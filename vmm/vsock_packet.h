/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock_packet.h - the packets of virtio-vsock (virtio 1.2, section 5.10.6): numbers, and a header's 44 bytes.
 *
 * Packing is by explicit offset, little-endian. Unpacking takes any bytes: what the numbers mean is checked by
 * virtio_vsock.c (addresses, length, type) and vsock_conn.c (operation, credit). No state; any thread.
 */
#ifndef BULKHEAD_VSOCK_PACKET_H
#define BULKHEAD_VSOCK_PACKET_H

#include <stdint.h>

enum {
	VSOCK_HEADER_SIZE = 44,
	VSOCK_CID_HOST = 2,
	VSOCK_TYPE_STREAM = 1,
};

enum vsock_op {
	VSOCK_OP_INVALID = 0,
	VSOCK_OP_REQUEST = 1,
	VSOCK_OP_RESPONSE = 2,
	VSOCK_OP_RST = 3,
	VSOCK_OP_SHUTDOWN = 4,
	VSOCK_OP_RW = 5,
	VSOCK_OP_CREDIT_UPDATE = 6,
	VSOCK_OP_CREDIT_REQUEST = 7,
	VSOCK_OP_COUNT
};

/* Flags of VSOCK_OP_SHUTDOWN: what its sender will not do any more. */
enum {
	VSOCK_SHUTDOWN_RECEIVE = 1,
	VSOCK_SHUTDOWN_SEND = 2,
	VSOCK_SHUTDOWN_BOTH = 3,
};

struct vsock_header {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port;
	uint32_t len; /* of the data that follows the header */
	uint16_t type;
	uint16_t op;
	uint32_t flags;
	uint32_t buf_alloc; /* the sender's receive buffer for this connection */
	uint32_t fwd_cnt;   /* bytes that have left that buffer since the connection began, modulo 2^32 */
};

void vsock_header_pack(uint8_t out[VSOCK_HEADER_SIZE], const struct vsock_header *header);
void vsock_header_unpack(const uint8_t in[VSOCK_HEADER_SIZE], struct vsock_header *header);

/* For logs; "unknown" for numbers without a name. */
const char *vsock_op_name(uint16_t op);

#endif
