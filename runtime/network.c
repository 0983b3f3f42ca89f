/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/network.h"

#include "runtime/agent_client.h"
#include "runtime/control_client.h"
#include "runtime/nameservers.h"
#include "runtime/net_links.h"
#include "runtime/net_tap.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/fd_stat.h"
#include "common/log.h"
#include "common/netlink.h"
#include "common/proto.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/* --- the namespace -------------------------------------------------------------------------------------------------
 */

static bool is_same(int fd, const char *path)
{
	struct stat ours, other;

	return fd_stat(fd, &ours) == 0 && stat(path, &other) == 0 && ours.st_dev == other.st_dev &&
	       ours.st_ino == other.st_ino;
}

/* The interfaces of the host are never touched, whatever a configuration says. */
bool network_is_hosts_own(int fd)
{
	return is_same(fd, "/proc/self/ns/net") || is_same(fd, "/proc/1/ns/net");
}

bool network_is_namespace(int fd)
{
	return ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET;
}

bool network_is_hosts(void)
{
	auto_fd int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	return fd < 0 || is_same(fd, "/proc/1/ns/net");
}

/* Returns the way back; -1 with the error set. */
static int enter(int namespace_fd, struct err *err)
{
	auto_fd int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	if (home < 0 || setns(namespace_fd, CLONE_NEWNET) < 0)
		return err_set_errno(err, "cannot enter the container's network namespace");
	return take_fd(&home);
}

static int leave(int home, struct err *err)
{
	return setns(home, CLONE_NEWNET) < 0 ? err_set_errno(err, "cannot leave the network namespace") : 0;
}

/* --- one interface -------------------------------------------------------------------------------------------------
 */

int network_open_vhost(int dev_fd, bool use_vhost)
{
	int fd = use_vhost ? openat(dev_fd, "vhost-net", O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		log_debug("network: packets go through the monitor, not through vhost-net");
	return fd;
}

static int attach_link(const struct network *network, struct net_link *link, int netlink_fd, struct agent_client *agent,
		       struct err *err)
{
	agent_NetAddRequest *request = &link->request;
	struct vmm_place place;
	auto_fd int dev = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_fd int vhost = network_open_vhost(dev, network->use_vhost);
	auto_fd int tap = net_tap_create(netlink_fd, dev, link, err);

	if (tap < 0)
		return -1;
	if (control_add_net(network->dirfd, request->name, link->index, request->mac->bytes, tap, vhost, &place, err) <
	    0)
		return -1;
	request->address = place.address;
	request->irq = place.irq;
	return agent_client_call(agent, PROTO_NET_ADD, agent_NetAddRequest_fields, request, NULL, NULL,
				 AGENT_TIMEOUT_MS, err);
}

/* An interface is one VM's. A container without the network it was promised does not start. */
static int check_owner(const struct network *network, const struct net_link *link, struct err *err)
{
	if (control_has_net(network->dirfd, link->index))
		return 0;
	return err_set(
		err, EBUSY,
		"network interface %s is in another container's virtual machine, and cannot be in two; give this "
		"container a network of its own instead of that container's",
		link->request.name);
}

/* In the namespace. */
static int attach_nameservers(const struct network *network, struct agent_client *agent, struct err *err)
{
	struct nameservers found;
	auto_fd int sockets = nameservers_open_sockets();

	nameservers_find(network->resolv_fd, sockets, &found);
	if (found.count == 0)
		return 0;
	agent_ResolverRequest request = { .addresses = found.addresses, .addresses_count = (pb_size_t)found.count };
	return agent_client_call(agent, PROTO_RESOLVER, agent_ResolverRequest_fields, &request, NULL, NULL,
				 AGENT_TIMEOUT_MS, err);
}

/* In the namespace. */
static int attach_all(const struct network *network, struct agent_client *agent, struct err *err)
{
	struct net_links links = { 0 };
	auto_fd int fd = netlink_open();
	int result = fd < 0 ? err_set_errno(err, "netlink") : net_links_read(&links, fd, err);

	for (size_t i = 0; result == 0 && i < links.count; i++) {
		struct net_link *link = &links.items[i];

		if (link->is_down)
			continue;
		if (net_links_has_tap(&links, link->index)) {
			result = check_owner(network, link, err);
			continue;
		}
		log_debug("network: interface %s", link->request.name);
		if (attach_link(network, link, fd, agent, err) < 0)
			result = err_wrap(err, "network interface %s", link->request.name);
	}
	net_links_destroy(&links);
	return result;
}

int network_attach(const struct network *network, pid_t pid, struct agent_client *agent, struct err *err)
{
	struct err second = ERR_INIT;
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid);
	auto_fd int namespace_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (namespace_fd < 0)
		return err_set_errno(err, "%s", path);
	if (network_is_hosts_own(namespace_fd))
		return 0;
	auto_fd int home = enter(namespace_fd, err);
	if (home < 0)
		return -1;
	int result = attach_all(network, agent, err);
	if (result == 0)
		result = attach_nameservers(network, agent, err);
	if (leave(home, result < 0 ? &second : err) < 0)
		return -1;
	return result;
}

/* --- the end -------------------------------------------------------------------------------------------------------
 */

/* In the namespace. Taps went with the monitor; one that is still there belongs to another VM. */
static void clean_all(void)
{
	struct err ignored = ERR_INIT;
	struct net_links links = { 0 };
	auto_fd int fd = netlink_open();

	if (fd >= 0 && net_links_read(&links, fd, &ignored) == 0) {
		for (size_t i = 0; i < links.count; i++)
			if (!net_links_has_tap(&links, links.items[i].index))
				net_tap_unwire(fd, links.items[i].index);
	}
	net_links_destroy(&links);
}

void network_clean(const char *path)
{
	struct err err = ERR_INIT;
	auto_fd int namespace_fd = open(path, O_RDONLY | O_CLOEXEC);

	if (namespace_fd < 0 || network_is_hosts_own(namespace_fd))
		return;
	auto_fd int home = enter(namespace_fd, &err);
	if (home < 0)
		return;
	clean_all();
	if (leave(home, &err) < 0)
		log_warn("%s", err.text);
}

void network_tell_of_none(int fd, bool is_raw_terminal)
{
	dprintf(fd,
		"bulkhead: warning: the host's network cannot be a virtual machine's: the container has the loopback "
		"alone; "
		"for a network take --network bridge, to be rid of this line --network none%s\n",
		is_raw_terminal ? "\r" : "");
}
