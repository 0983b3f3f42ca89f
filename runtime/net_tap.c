/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net_tap.h"

#include "runtime/net_links.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* After all that an engine may have put there: its filters and counters come first. */
#define FILTER_PRIORITY 0xb040u

#define INGRESS_HANDLE TC_H_MAKE(TC_H_INGRESS, 0u)
/* Means the ingress of both kinds of queueing that can be there, "ingress" and "clsact". */
#define INGRESS_PARENT TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)

static int open_tap(int dev_fd, const struct net_link *link, char name[IFNAMSIZ], struct err *err)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	auto_fd int fd = openat(dev_fd, "net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_set_errno(err, "/dev/net/tun (kernel module tun)");
	snprintf(request.ifr_name, sizeof request.ifr_name, NET_TAP_PREFIX "%d", link->index);
	memcpy(name, request.ifr_name, IFNAMSIZ);
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return err_set_errno(err, "cannot make tap %s", name);
	return take_fd(&fd);
}

/* The tap is a piece of wire: nothing of the host's answers on it, so it gets no address of any kind. */
static int bring_up(int fd, int index, const struct net_link *link, struct err *err)
{
	const struct ifinfomsg down = { .ifi_index = index };
	const struct ifinfomsg up = { .ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	const uint8_t none = IN6_ADDR_GEN_MODE_NONE;
	struct netlink_request request;

	netlink_begin(&request, RTM_NEWLINK, 0, &down, sizeof down);
	size_t families = netlink_nest(&request, IFLA_AF_SPEC);
	size_t inet6 = netlink_nest(&request, AF_INET6);
	netlink_put(&request, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof none);
	netlink_nest_end(&request, inet6);
	netlink_nest_end(&request, families);
	(void)netlink_call(fd, &request); /* fails on a host without IPv6, where nothing needs turning off */

	netlink_begin(&request, RTM_NEWLINK, 0, &up, sizeof up);
	if (link->request.mtu)
		netlink_put32(&request, IFLA_MTU, link->request.mtu);
	if (netlink_call(fd, &request) < 0)
		return err_set_errno(err, "cannot bring up the tap");
	return 0;
}

static int add_ingress(int fd, int index, struct err *err)
{
	const struct tcmsg head = { .tcm_ifindex = index, .tcm_handle = INGRESS_HANDLE, .tcm_parent = TC_H_INGRESS };
	struct netlink_request request;

	netlink_begin(&request, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof head);
	netlink_put_text(&request, TCA_KIND, "ingress");
	if (netlink_call(fd, &request) < 0 && errno != EEXIST)
		return err_set_errno(err, "cannot add an ingress qdisc (kernel module sch_ingress)");
	return 0;
}

static int remove_filter(int fd, int index)
{
	const struct tcmsg head = {
		.tcm_ifindex = index,
		.tcm_parent = INGRESS_PARENT,
		.tcm_info = TC_H_MAKE(FILTER_PRIORITY << 16, htons(ETH_P_ALL)),
	};
	struct netlink_request request;

	netlink_begin(&request, RTM_DELTFILTER, 0, &head, sizeof head);
	return netlink_call(fd, &request);
}

/* Whatever comes in at `from` goes out of `to`. */
static int redirect(int fd, int from, int to, struct err *err)
{
	const struct tcmsg head = {
		.tcm_ifindex = from,
		.tcm_parent = INGRESS_PARENT,
		.tcm_info = TC_H_MAKE(FILTER_PRIORITY << 16, htons(ETH_P_ALL)),
	};
	const struct tc_mirred mirred = {
		.action = TC_ACT_STOLEN,
		.eaction = TCA_EGRESS_REDIR,
		.ifindex = (uint32_t)to,
	};
	struct netlink_request request;

	(void)remove_filter(fd, from); /* of a container before us in this namespace */
	netlink_begin(&request, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof head);
	netlink_put_text(&request, TCA_KIND, "matchall");
	size_t options = netlink_nest(&request, TCA_OPTIONS);
	size_t actions = netlink_nest(&request, TCA_MATCHALL_ACT);
	size_t first = netlink_nest(&request, 1);
	netlink_put_text(&request, TCA_ACT_KIND, "mirred");
	size_t parameters = netlink_nest(&request, TCA_ACT_OPTIONS);
	netlink_put(&request, TCA_MIRRED_PARMS, &mirred, sizeof mirred);
	netlink_nest_end(&request, parameters);
	netlink_nest_end(&request, first);
	netlink_nest_end(&request, actions);
	netlink_nest_end(&request, options);
	if (netlink_call(fd, &request) < 0)
		return err_set_errno(err, "cannot redirect its packets (kernel modules cls_matchall, act_mirred)");
	return 0;
}

int net_tap_create(int fd, int dev_fd, const struct net_link *link, struct err *err)
{
	char name[IFNAMSIZ];
	auto_fd int tap = open_tap(dev_fd, link, name, err);
	int index = tap >= 0 ? (int)if_nametoindex(name) : 0;

	if (tap < 0)
		return -1;
	if (!index)
		return err_set_errno(err, "%s", name);
	if (bring_up(fd, index, link, err) < 0 || add_ingress(fd, index, err) < 0 ||
	    add_ingress(fd, link->index, err) < 0)
		return -1;
	if (redirect(fd, index, link->index, err) < 0 || redirect(fd, link->index, index, err) < 0) {
		net_tap_unwire(fd, link->index);
		return -1;
	}
	return take_fd(&tap);
}

static int count_filter(const struct nlmsghdr *message, void *arg)
{
	(void)message;
	++*(unsigned *)arg;
	return 0;
}

void net_tap_unwire(int fd, int index)
{
	const struct tcmsg filters = { .tcm_ifindex = index, .tcm_parent = INGRESS_PARENT };
	const struct tcmsg qdisc = { .tcm_ifindex = index, .tcm_handle = INGRESS_HANDLE, .tcm_parent = TC_H_INGRESS };
	struct netlink_request request;
	unsigned left = 0;

	if (remove_filter(fd, index) < 0)
		return;
	/* Without filters the qdisc does nothing, whoever added it. */
	netlink_begin(&request, RTM_GETTFILTER, 0, &filters, sizeof filters);
	if (netlink_dump(fd, &request, sizeof filters, count_filter, &left) < 0 || left)
		return;
	netlink_begin(&request, RTM_DELQDISC, 0, &qdisc, sizeof qdisc);
	(void)netlink_call(fd, &request);
}
