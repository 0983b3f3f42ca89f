/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net_devices.h"

#include "runtime/network.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/netlink.h"

#include "oci/strings.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { ADDRESSES_MAX = 64 };

/* An address that is set again, since a device loses its own on the way. */
struct address {
	uint8_t family, prefix_length;
	struct {
		uint8_t bytes[16];
		size_t length;
	} local, peer, broadcast;
};

struct addresses {
	uint32_t index; /* of the device */
	size_t count;
	struct address items[ADDRESSES_MAX];
};

static void copy_attribute(const struct rtattr *attribute, uint8_t bytes[16], size_t *length)
{
	*length = attribute && RTA_PAYLOAD(attribute) <= 16 ? RTA_PAYLOAD(attribute) : 0;
	if (*length)
		memcpy(bytes, RTA_DATA(attribute), *length);
}

static int keep_address(const struct nlmsghdr *message, void *arg)
{
	struct addresses *addresses = arg;
	const struct ifaddrmsg *head = NLMSG_DATA(message);
	const struct rtattr *table[IFA_MAX + 1];

	netlink_attributes(message, sizeof *head, table, IFA_MAX + 1);
	uint32_t flags = netlink_get32(table[IFA_FLAGS], head->ifa_flags);
	if (head->ifa_index != addresses->index || head->ifa_scope != RT_SCOPE_UNIVERSE || !(flags & IFA_F_PERMANENT) ||
	    addresses->count == ADDRESSES_MAX)
		return 0;
	struct address *address = &addresses->items[addresses->count++];
	*address = (struct address){ .family = head->ifa_family, .prefix_length = head->ifa_prefixlen };
	copy_attribute(table[IFA_LOCAL], address->local.bytes, &address->local.length);
	copy_attribute(table[IFA_ADDRESS], address->peer.bytes, &address->peer.length);
	copy_attribute(table[IFA_BROADCAST], address->broadcast.bytes, &address->broadcast.length);
	return 0;
}

static int read_addresses(int netlink_fd, struct addresses *out, struct err *err)
{
	const struct ifaddrmsg any = { .ifa_family = AF_UNSPEC };
	struct netlink_request request;

	netlink_begin(&request, RTM_GETADDR, 0, &any, sizeof any);
	if (netlink_dump(netlink_fd, &request, sizeof any, keep_address, out) < 0)
		return err_set_errno(err, "cannot read its addresses");
	return 0;
}

static int move(int netlink_fd, int index, int namespace_fd, const char *name, struct err *err)
{
	const struct ifinfomsg head = { .ifi_index = index,
					.ifi_change = IFF_UP }; /* down: a name cannot change else */
	struct netlink_request request;

	netlink_begin(&request, RTM_NEWLINK, 0, &head, sizeof head);
	if (netlink_call(netlink_fd, &request) < 0)
		return err_set_errno(err, "cannot bring it down");
	netlink_begin(&request, RTM_NEWLINK, 0, &(const struct ifinfomsg){ .ifi_index = index }, sizeof head);
	netlink_put32(&request, IFLA_NET_NS_FD, (uint32_t)namespace_fd);
	netlink_put_text(&request, IFLA_IFNAME, name);
	if (netlink_call(netlink_fd, &request) < 0)
		return err_set_errno(err, "cannot move it into the container's network namespace as %s", name);
	return 0;
}

static int set_address(int netlink_fd, int index, const struct address *address, struct err *err)
{
	const struct ifaddrmsg head = {
		.ifa_family = address->family,
		.ifa_prefixlen = address->prefix_length,
		.ifa_flags = address->family == AF_INET6 ? IFA_F_NODAD : 0,
		.ifa_scope = RT_SCOPE_UNIVERSE,
		.ifa_index = (uint32_t)index,
	};
	struct netlink_request request;

	netlink_begin(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof head);
	if (address->local.length)
		netlink_put(&request, IFA_LOCAL, address->local.bytes, address->local.length);
	if (address->peer.length)
		netlink_put(&request, IFA_ADDRESS, address->peer.bytes, address->peer.length);
	if (address->broadcast.length)
		netlink_put(&request, IFA_BROADCAST, address->broadcast.bytes, address->broadcast.length);
	if (netlink_call(netlink_fd, &request) < 0)
		return err_set_errno(err, "cannot set its address again");
	return 0;
}

/* In the container's namespace. */
static int settle(const char *name, const struct addresses *addresses, struct err *err)
{
	auto_fd int fd = netlink_open();
	int index = (int)if_nametoindex(name);
	const struct ifinfomsg up = { .ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	struct netlink_request request;

	if (fd < 0 || index == 0)
		return err_set_errno(err, "cannot find it again");
	for (size_t i = 0; i < addresses->count; i++)
		if (set_address(fd, index, &addresses->items[i], err) < 0)
			return -1;
	netlink_begin(&request, RTM_NEWLINK, 0, &up, sizeof up);
	return netlink_call(fd, &request) < 0 ? err_set_errno(err, "cannot bring it up") : 0;
}

static int move_one(const struct oci_pair *device, int home_fd, int namespace_fd, struct err *err)
{
	struct addresses addresses = { .index = if_nametoindex(device->key) };
	auto_fd int fd = netlink_open();

	if (fd < 0 || addresses.index == 0)
		return err_set_errno(err, "the host's");
	if (read_addresses(fd, &addresses, err) < 0 ||
	    move(fd, (int)addresses.index, namespace_fd, device->value, err) < 0)
		return -1;
	if (setns(namespace_fd, CLONE_NEWNET) < 0)
		return err_set_errno(err, "cannot enter the container's network namespace");
	int result = settle(device->value, &addresses, err);
	if (setns(home_fd, CLONE_NEWNET) < 0)
		return err_set_errno(err, "cannot leave the container's network namespace");
	return result;
}

int net_devices_move(const struct oci_map *devices, pid_t pid, struct err *err)
{
	char path[64];

	if (devices->count == 0)
		return 0;
	snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid);
	auto_fd int namespace_fd = open(path, O_RDONLY | O_CLOEXEC);
	auto_fd int home_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (namespace_fd < 0 || home_fd < 0)
		return err_set_errno(err, "%s", path);
	if (network_is_hosts_own(namespace_fd))
		return err_set(err, EPERM,
			       "linux.netDevices: unable to move network devices without a private NET namespace");
	for (size_t i = 0; i < devices->count; i++)
		if (move_one(&devices->items[i], home_fd, namespace_fd, err) < 0)
			return err_wrap(err, "linux.netDevices: network device %s", devices->items[i].key);
	return 0;
}
