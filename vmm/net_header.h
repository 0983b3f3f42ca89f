/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_header.h - the header before each packet (virtio 1.2, section 5.1.6), and whether the guest's makes sense.
 *
 * The host's kernel checks this header too; still, it gets none that contradicts its packet.
 */
#ifndef BULKHEAD_NET_HEADER_H
#define BULKHEAD_NET_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Little-endian, as the tap is told. */
struct net_header {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t hdr_len;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t num_buffers; /* from device to driver only */
};

enum {
	NET_HEADER_NEEDS_CSUM = 1,
	NET_GSO_NONE = 0,
	NET_GSO_TCPV4 = 1,
	NET_GSO_TCPV6 = 4,
	NET_GSO_UDP_L4 = 5,
	NET_GSO_ECN = 0x80,
};

/* Feature bits of the device (5.1.3). */
#define NET_F_CSUM (1ull << 0)
#define NET_F_GUEST_CSUM (1ull << 1)
#define NET_F_MAC (1ull << 5)
#define NET_F_GUEST_TSO4 (1ull << 7)
#define NET_F_GUEST_TSO6 (1ull << 8)
#define NET_F_GUEST_ECN (1ull << 9)
#define NET_F_HOST_TSO4 (1ull << 11)
#define NET_F_HOST_TSO6 (1ull << 12)
#define NET_F_HOST_ECN (1ull << 13)
#define NET_F_MRG_RXBUF (1ull << 15)
#define NET_F_GUEST_USO4 (1ull << 54)
#define NET_F_GUEST_USO6 (1ull << 55)
#define NET_F_HOST_USO (1ull << 56)

enum { NET_PACKET_MIN = 14, NET_PACKET_MAX = 65535 + 14 + 8 };

/* NULL if it may go out with a packet of `length` bytes, under these features; else what is wrong with it. */
const char *net_header_fault(const struct net_header *header, size_t length, uint64_t features);

#endif
