/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net_links.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/netlink.h"

#include <errno.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <pb_decode.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { MAC_SIZE = 6, MESSAGES_MAX = 512 };

/* What the kernel may say of one interface; the rest of a message is its fixed part. */
struct reading {
	struct net_links *links;
	bool with_gateway; /* routes: those through a gateway come after those it may need */
};

bool net_links_has_tap(const struct net_links *links, int index)
{
	for (size_t i = 0; i < links->tap_count; i++)
		if (links->taps[i] == index)
			return true;
	return false;
}

static struct net_link *find(struct net_links *links, uint32_t index)
{
	for (size_t i = 0; i < links->count; i++)
		if (links->items[i].index == (int)index)
			return &links->items[i];
	return NULL;
}

static pb_bytes_array_t *copy_bytes(const void *data, size_t length)
{
	pb_bytes_array_t *bytes = malloc(PB_BYTES_ARRAY_T_ALLOCSIZE(length));

	if (bytes) {
		bytes->size = (pb_size_t)length;
		memcpy(bytes->bytes, data, length);
	}
	return bytes;
}

/* --- interfaces ----------------------------------------------------------------------------------------------------
 */

/* The attribute of `type` inside of another; NULL: it is not there. */
static const struct rtattr *find_inside(const struct rtattr *outer, unsigned type)
{
	const struct rtattr *inner = outer ? RTA_DATA(outer) : NULL;

	for (unsigned left = outer ? (unsigned)RTA_PAYLOAD(outer) : 0; RTA_OK(inner, left);
	     inner = RTA_NEXT(inner, left))
		if ((inner->rta_type & NLA_TYPE_MASK) == type)
			return inner;
	return NULL;
}

/* The sysctl disable_ipv6 of the interface, which the kernel tells along with all others of it. */
static bool has_ipv6_disabled(const struct rtattr *families)
{
	const struct rtattr *conf = find_inside(find_inside(families, AF_INET6), IFLA_INET6_CONF);
	const size_t at = DEVCONF_DISABLE_IPV6 * sizeof(int32_t);
	int32_t value = 0;

	if (conf && RTA_PAYLOAD(conf) >= at + sizeof value)
		memcpy(&value, (const uint8_t *)RTA_DATA(conf) + at, sizeof value);
	return value;
}

static int add_link(const struct nlmsghdr *message, void *arg)
{
	struct net_links *links = ((struct reading *)arg)->links;
	const struct ifinfomsg *info = NLMSG_DATA(message);
	const struct rtattr *table[IFLA_MAX + 1];
	char name[IFNAMSIZ] = "";
	int index;

	netlink_attributes(message, sizeof *info, table, IFLA_MAX + 1);
	if (info->ifi_type != ARPHRD_ETHER || !table[IFLA_IFNAME] || !table[IFLA_ADDRESS] ||
	    RTA_PAYLOAD(table[IFLA_ADDRESS]) != MAC_SIZE)
		return 0;
	snprintf(name, sizeof name, "%.*s", (int)RTA_PAYLOAD(table[IFLA_IFNAME]), (char *)RTA_DATA(table[IFLA_IFNAME]));
	if (sscanf(name, NET_TAP_PREFIX "%d", &index) == 1) {
		if (links->tap_count < NET_TAPS_MAX)
			links->taps[links->tap_count++] = index;
		return 0;
	}
	if (links->count == NET_LINKS_MAX)
		return 0;
	struct net_link *link = &links->items[links->count++];
	*link = (struct net_link){
		.index = info->ifi_index,
		.is_down = !(info->ifi_flags & IFF_UP),
		.request = {
			.name = strdup(name),
			.mac = copy_bytes(RTA_DATA(table[IFLA_ADDRESS]), MAC_SIZE),
			.mtu = netlink_get32(table[IFLA_MTU], 0),
			.disable_ipv6 = has_ipv6_disabled(table[IFLA_AF_SPEC]),
		},
	};
	return link->request.name && link->request.mac ? 0 : ENOMEM;
}

/* --- what belongs to them ------------------------------------------------------------------------------------------
 */

/* A copy of the message's fixed part and attributes, to be changed in place. NULL when out of memory. */
static uint8_t *add_message(struct net_link *link, const struct nlmsghdr *message)
{
	agent_NetAddRequest *request = &link->request;
	size_t length = message->nlmsg_len - NLMSG_HDRLEN;
	agent_NetMessage *more = realloc(request->messages, (request->messages_count + 1u) * sizeof *more);

	if (!more)
		return NULL;
	request->messages = more;
	more += request->messages_count;
	*more = (agent_NetMessage){ .type = message->nlmsg_type, .body = copy_bytes(NLMSG_DATA(message), length) };
	if (!more->body)
		return NULL;
	request->messages_count++;
	return more->body->bytes;
}

static bool is_full(const struct net_link *link)
{
	return link->request.messages_count >= MESSAGES_MAX;
}

/* The host has asked whether somebody else has the address; the guest need not wait for the same answer. */
static int add_address(const struct nlmsghdr *message, void *arg)
{
	struct reading *reading = arg;
	const struct ifaddrmsg *address = NLMSG_DATA(message);
	struct net_link *link = find(reading->links, address->ifa_index);
	const struct rtattr *table[IFA_MAX + 1];

	netlink_attributes(message, sizeof *address, table, IFA_MAX + 1);
	uint32_t flags = netlink_get32(table[IFA_FLAGS], address->ifa_flags);
	/* For IPv4 the same bit says that it is not the first address of its subnet. */
	if (!link || is_full(link) || (address->ifa_family == AF_INET6 && flags & IFA_F_TEMPORARY))
		return 0;
	uint8_t *copy = add_message(link, message);
	if (!copy)
		return ENOMEM;
	if (address->ifa_family == AF_INET6) {
		flags |= IFA_F_NODAD;
		((struct ifaddrmsg *)(void *)copy)->ifa_flags = (uint8_t)flags;
		if (table[IFA_FLAGS])
			memcpy(copy + ((uint8_t *)RTA_DATA(table[IFA_FLAGS]) - (uint8_t *)NLMSG_DATA(message)), &flags,
			       sizeof flags);
	}
	return 0;
}

static int add_route(const struct nlmsghdr *message, void *arg)
{
	struct reading *reading = arg;
	const struct rtmsg *route = NLMSG_DATA(message);
	const struct rtattr *table[RTA_MAX + 1];

	netlink_attributes(message, sizeof *route, table, RTA_MAX + 1);
	struct net_link *link = find(reading->links, netlink_get32(table[RTA_OIF], 0));
	if (!link || is_full(link) || route->rtm_type != RTN_UNICAST ||
	    netlink_get32(table[RTA_TABLE], route->rtm_table) != RT_TABLE_MAIN ||
	    route->rtm_protocol == RTPROT_KERNEL || route->rtm_protocol == RTPROT_RA || route->rtm_flags & RTM_F_CLONED)
		return 0;
	if ((table[RTA_GATEWAY] || table[RTA_VIA]) != reading->with_gateway)
		return 0;
	uint8_t *copy = add_message(link, message);
	if (!copy)
		return ENOMEM;
	/* The others say how the host's interface does at the moment, and are refused. */
	((struct rtmsg *)(void *)copy)->rtm_flags &= RTNH_F_ONLINK;
	return 0;
}

static int add_neighbour(const struct nlmsghdr *message, void *arg)
{
	struct reading *reading = arg;
	const struct ndmsg *neighbour = NLMSG_DATA(message);
	struct net_link *link = find(reading->links, (uint32_t)neighbour->ndm_ifindex);

	if (!link || is_full(link) || !(neighbour->ndm_state & NUD_PERMANENT) || neighbour->ndm_flags & NTF_PROXY ||
	    (neighbour->ndm_family != AF_INET && neighbour->ndm_family != AF_INET6))
		return 0;
	return add_message(link, message) ? 0 : ENOMEM;
}

static int dump(int fd, uint16_t type, const void *head, size_t length, int (*each)(const struct nlmsghdr *, void *),
		struct reading *reading, struct err *err)
{
	struct netlink_request request;

	netlink_begin(&request, type, 0, head, length);
	int result = netlink_dump(fd, &request, length, each, reading);
	if (result < 0)
		return err_set_errno(err, "cannot read the network namespace");
	return result ? err_set(err, result, "cannot read the network namespace: out of memory") : 0;
}

int net_links_read(struct net_links *links, int fd, struct err *err)
{
	const struct ifinfomsg any_link = { .ifi_family = AF_UNSPEC };
	const struct ifaddrmsg any_address = { .ifa_family = AF_UNSPEC };
	const struct rtmsg any_route = { .rtm_family = AF_UNSPEC };
	const struct ndmsg any_neighbour = { .ndm_family = AF_UNSPEC };
	struct reading reading = { .links = links };

	links->count = links->tap_count = 0;
	if (dump(fd, RTM_GETLINK, &any_link, sizeof any_link, add_link, &reading, err) < 0)
		return -1;
	if (links->count == 0)
		return 0;
	if (dump(fd, RTM_GETADDR, &any_address, sizeof any_address, add_address, &reading, err) < 0 ||
	    dump(fd, RTM_GETROUTE, &any_route, sizeof any_route, add_route, &reading, err) < 0)
		return -1;
	reading.with_gateway = true;
	if (dump(fd, RTM_GETROUTE, &any_route, sizeof any_route, add_route, &reading, err) < 0)
		return -1;
	return dump(fd, RTM_GETNEIGH, &any_neighbour, sizeof any_neighbour, add_neighbour, &reading, err);
}

void net_links_destroy(struct net_links *links)
{
	for (size_t i = 0; i < links->count; i++)
		pb_release(agent_NetAddRequest_fields, &links->items[i].request);
	links->count = 0;
}
