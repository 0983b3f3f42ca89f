/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/net_header.h"

_Static_assert(sizeof(struct net_header) == 12, "as on the ring");

static const char *segmentation_fault_in(const struct net_header *header, size_t length, uint64_t features)
{
	bool is_negotiated = false;

	switch (header->gso_type & ~NET_GSO_ECN) {
	case NET_GSO_TCPV4:
		is_negotiated = features & NET_F_HOST_TSO4;
		break;
	case NET_GSO_TCPV6:
		is_negotiated = features & NET_F_HOST_TSO6;
		break;
	case NET_GSO_UDP_L4:
		is_negotiated = features & NET_F_HOST_USO && !(header->gso_type & NET_GSO_ECN);
		break;
	}
	if (!is_negotiated)
		return "a kind of segmentation that was not negotiated";
	if (header->gso_type & NET_GSO_ECN && !(features & NET_F_HOST_ECN))
		return "segmentation with ECN, which was not negotiated";
	/* 5.1.6.2: segments need their checksums made. */
	if (!(header->flags & NET_HEADER_NEEDS_CSUM))
		return "segmentation without checksum";
	if (!header->gso_size)
		return "segments of no size";
	if (header->hdr_len > length)
		return "a header longer than its packet";
	return NULL;
}

const char *net_header_fault(const struct net_header *header, size_t length, uint64_t features)
{
	if (length < NET_PACKET_MIN)
		return "a packet too short for an Ethernet header";
	if (length > NET_PACKET_MAX)
		return "a packet too long";
	if (header->flags & ~NET_HEADER_NEEDS_CSUM)
		return "unknown flags";
	if (header->flags & NET_HEADER_NEEDS_CSUM) {
		if (!(features & NET_F_CSUM))
			return "a checksum to be made, which was not negotiated";
		if ((size_t)header->csum_start + header->csum_offset + 2 > length)
			return "a checksum outside of its packet";
	}
	return header->gso_type == NET_GSO_NONE ? NULL : segmentation_fault_in(header, length, features);
}
