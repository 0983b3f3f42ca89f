/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_tap.h - a tap beside an interface, and traffic control that makes the two one wire.
 *
 *     peer in the host --- eth0 <== redirect, both ways ==> bhtap<number of eth0> --- monitor --- guest's eth0
 *
 * What comes in at either is sent out of the other before the namespace's own IP stack sees it, by one filter on the
 * ingress of each. The tap goes with its last descriptor, the monitor's; filters on it go with it.
 */
#ifndef BULKHEAD_RUNTIME_NET_TAP_H
#define BULKHEAD_RUNTIME_NET_TAP_H

#include <stdint.h>

struct err;
struct net_link;

/*
 * The tap's descriptor, wired to the interface. The caller is in the namespace that `netlink_fd` belongs to; `dev_fd`
 * is the host's /dev. Code EBUSY: there is one already.
 */
int net_tap_create(int netlink_fd, int dev_fd, const struct net_link *link, struct err *err);

/* Removes from interface `index` what net_tap_create put there, if it did. */
void net_tap_unwire(int netlink_fd, int index);

#endif
