/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/net.h"

#include "common/auto.h"
#include "common/bulkhead_uapi.h"
#include "common/err.h"
#include "common/log.h"
#include "common/netlink.h"
#include "guest-agent/agent.h"
#include "guest-agent/errtext.h"
#include "guest-agent/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/neighbour.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { MAC_SIZE = 6 };

struct search {
	const uint8_t *mac;
	int index; /* 0: not found */
};

static int compare_link(const struct nlmsghdr *message, void *arg)
{
	struct search *search = arg;
	const struct ifinfomsg *link = NLMSG_DATA(message);
	const struct rtattr *table[IFLA_MAX + 1];

	netlink_attributes(message, sizeof *link, table, IFLA_MAX + 1);
	if (!link->ifi_index || link->ifi_flags & IFF_LOOPBACK || !table[IFLA_ADDRESS] ||
	    RTA_PAYLOAD(table[IFLA_ADDRESS]) != MAC_SIZE || table[IFLA_LINKINFO])
		return 0; /* with LINKINFO it is something a container made, not a device */
	if (!search->index && memcmp(RTA_DATA(table[IFLA_ADDRESS]), search->mac, MAC_SIZE) == 0)
		search->index = link->ifi_index;
	return 0;
}

/* The interface number, 0 if there is none, -1 with the error. */
static int find_link(int fd, const uint8_t *mac, struct err *err)
{
	const struct ifinfomsg all = { .ifi_family = AF_UNSPEC };
	struct search search = { .mac = mac };
	struct netlink_request request;

	netlink_begin(&request, RTM_GETLINK, 0, &all, sizeof all);
	if (netlink_dump(fd, &request, sizeof all, compare_link, &search) < 0)
		return errtext_set(err, "looking for the network interface");
	return search.index;
}

static void begin_link(struct netlink_request *request, int index, unsigned flags)
{
	const struct ifinfomsg link = { .ifi_index = index, .ifi_flags = flags, .ifi_change = flags };

	netlink_begin(request, RTM_NEWLINK, 0, &link, sizeof link);
}

/* Down, as it was made: only then it can be renamed. */
static int set_name(int fd, int index, const agent_NetAddRequest *net, struct err *err)
{
	struct netlink_request request;

	begin_link(&request, index, 0);
	netlink_put_text(&request, IFLA_IFNAME, net->name);
	if (netlink_call(fd, &request) < 0)
		return errtext_set(err, "network interface %.16s: naming it", net->name);
	return 0;
}

static int set_mtu(int fd, int index, const agent_NetAddRequest *net, struct err *err)
{
	struct netlink_request request;

	begin_link(&request, index, 0);
	netlink_put32(&request, IFLA_MTU, net->mtu);
	if (net->mtu && netlink_call(fd, &request) < 0)
		return errtext_set(err, "network interface %.16s: an MTU of %u", net->name, net->mtu);
	return 0;
}

static int set_up(int fd, int index, const agent_NetAddRequest *net, struct err *err)
{
	struct netlink_request request;

	begin_link(&request, index, IFF_UP);
	if (netlink_call(fd, &request) < 0)
		return errtext_set(err, "network interface %.16s: bringing it up", net->name);
	return 0;
}

/* Without an IPv6 stack in the kernel there is nothing to turn off. */
static void disable_ipv6(const char *name)
{
	char path[96];

	snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%.16s/disable_ipv6", name);
	(void)file_write_at(AT_FDCWD, path, "1");
}

/* The fixed part of each type, and where in it the interface's number is; routes have it in an attribute. */
static const struct {
	uint32_t add, remove;
	size_t head_length;
	size_t index_at; /* 0: nowhere */
	const char *what;
} kinds[] = {
	{ RTM_NEWADDR, RTM_DELADDR, sizeof(struct ifaddrmsg), offsetof(struct ifaddrmsg, ifa_index), "an address" },
	{ RTM_NEWROUTE, RTM_DELROUTE, sizeof(struct rtmsg), 0, "a route" },
	{ RTM_NEWNEIGH, RTM_DELNEIGH, sizeof(struct ndmsg), offsetof(struct ndmsg, ndm_ifindex), "a neighbour" },
};

/* Only of types that passed requests_check.c. */
static int kind_of(uint32_t type)
{
	for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (kinds[i].add == type || kinds[i].remove == type)
			return (int)i;
	return -1;
}

/* The number of the host's interface in a message becomes that of ours. */
static void put_index(struct netlink_request *request, int kind, int index)
{
	struct nlmsghdr *header = (struct nlmsghdr *)(void *)request->bytes;
	const struct rtattr *table[RTA_MAX + 1];
	uint32_t number = (uint32_t)index;

	if (kinds[kind].index_at) {
		memcpy(request->bytes + NLMSG_HDRLEN + kinds[kind].index_at, &number, sizeof number);
		return;
	}
	header->nlmsg_len = (uint32_t)request->length;
	netlink_attributes(header, kinds[kind].head_length, table, RTA_MAX + 1);
	if (table[RTA_OIF] && RTA_PAYLOAD(table[RTA_OIF]) == sizeof number)
		memcpy(request->bytes + ((const uint8_t *)RTA_DATA(table[RTA_OIF]) - request->bytes), &number,
		       sizeof number);
}

static int apply(int fd, int index, const agent_NetAddRequest *net, const agent_NetMessage *message, struct err *err)
{
	struct netlink_request request;
	int kind = kind_of(message->type);
	bool is_new = kinds[kind].add == message->type;

	netlink_begin(&request, (uint16_t)message->type, is_new ? NLM_F_CREATE | NLM_F_REPLACE : 0,
		      message->body->bytes, message->body->size);
	put_index(&request, kind, index);
	/* What is to go may have gone: a route with its address, and both by the container's own hand. */
	if (netlink_call(fd, &request) < 0 && is_new && errno != EEXIST)
		return errtext_set(err, "network interface %.16s: %s", net->name, kinds[kind].what);
	return 0;
}

/* Addresses come before it is up, so that nothing goes out from an interface half made; routes need it up. */
static int apply_all(int fd, int index, const agent_NetAddRequest *net, bool addresses, struct err *err)
{
	for (size_t i = 0; i < net->messages_count; i++) {
		bool is_address = net->messages[i].type == RTM_NEWADDR || net->messages[i].type == RTM_DELADDR;

		if (is_address == addresses && apply(fd, index, net, &net->messages[i], err) < 0)
			return -1;
	}
	return 0;
}

static void note_place(struct agent *agent, uint64_t address)
{
	for (unsigned i = 0; i < AGENT_NETS_MAX; i++) {
		if (!agent->nets[i]) {
			agent->nets[i] = address;
			return;
		}
	}
}

static void forget_place(struct agent *agent, uint64_t address)
{
	for (unsigned i = 0; i < AGENT_NETS_MAX; i++)
		if (agent->nets[i] == address)
			agent->nets[i] = 0;
}

static int add_device(struct agent *agent, const agent_NetAddRequest *request, struct err *err)
{
	struct bulkhead_device_place place = { .address = request->address, .irq = request->irq };

	if (ioctl(agent->sandbox_fd, BULKHEAD_IOC_ADD_DEVICE, &place) < 0)
		return errtext_set(err, "network interface %.16s: telling the kernel of it", request->name);
	note_place(agent, request->address);
	return 0;
}

int net_add(struct agent *agent, const agent_NetAddRequest *request, struct err *err)
{
	auto_fd int fd = netlink_open();

	if (fd < 0)
		return errtext_set(err, "network interface %.16s: netlink", request->name);
	if (request->address && add_device(agent, request, err) < 0)
		return -1;
	int index = find_link(fd, request->mac->bytes, err);
	if (index < 0)
		return -1;
	if (index == 0)
		return err_set(err, ENODEV, "network interface %.16s: the kernel does not show it", request->name);
	if (request->address && set_name(fd, index, request, err) < 0)
		return -1;
	if (request->disable_ipv6)
		disable_ipv6(request->name);
	if (set_mtu(fd, index, request, err) < 0 || apply_all(fd, index, request, true, err) < 0 ||
	    set_up(fd, index, request, err) < 0)
		return -1;
	return apply_all(fd, index, request, false, err);
}

void net_forget_all(struct agent *agent)
{
	for (unsigned i = 0; i < AGENT_NETS_MAX; i++) {
		struct bulkhead_device_place place = { .address = agent->nets[i] };

		if (place.address && ioctl(agent->sandbox_fd, BULKHEAD_IOC_REMOVE_DEVICE, &place) < 0)
			log_warn("removing a network interface of an earlier life: %s", strerror(errno));
		agent->nets[i] = 0;
	}
}

int net_remove(struct agent *agent, const agent_NetRemoveRequest *request, struct err *err)
{
	struct bulkhead_device_place place = { .address = request->address };

	if (ioctl(agent->sandbox_fd, BULKHEAD_IOC_REMOVE_DEVICE, &place) < 0)
		return errtext_set(err, "removing a network interface");
	forget_place(agent, request->address);
	return 0;
}
