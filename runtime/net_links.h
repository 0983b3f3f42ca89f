/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_links.h - the interfaces of a network namespace, as the guest is to have them.
 *
 * What is taken: Ethernet interfaces (who reads leaves those alone that are down), with all their addresses, the routes
 * of the main table that go out through them, and permanent neighbours. Not what the kernel makes by itself from those.
 */
#ifndef BULKHEAD_RUNTIME_NET_LINKS_H
#define BULKHEAD_RUNTIME_NET_LINKS_H

#include "agent.pb.h"

#include <stdbool.h>
#include <stddef.h>

struct err;

enum { NET_LINKS_MAX = 16, NET_TAPS_MAX = 64 };

#define NET_TAP_PREFIX "bhtap" /* then the number of the interface it stands beside */

struct net_link {
	int index;
	bool is_down;
	agent_NetAddRequest request; /* all but the device's place; owned */
};

struct net_links {
	struct net_link items[NET_LINKS_MAX];
	size_t count;
	int taps[NET_TAPS_MAX]; /* numbers of the interfaces that have a tap */
	size_t tap_count;
};

/* Of the namespace that `netlink_fd` was opened in, and that the caller is in. Destroy it also after a failure. */
int net_links_read(struct net_links *links, int netlink_fd, struct err *err);
void net_links_destroy(struct net_links *links);

bool net_links_has_tap(const struct net_links *links, int index);

#endif
