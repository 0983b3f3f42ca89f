/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_watch.h - interfaces, addresses, routes and nameservers that change while a container runs (docker network
 * connect, CNI chains): the proxy watches the container's network namespace, which it is in, and keeps the guest like
 * it.
 *
 * It begins when `start` says so (VM_SOCKET_PROXY): what is there until then is start's. One step at a time; after each
 * the namespace is read anew, until there is nothing to do:
 *
 *     IDLE --new interface with a tap--> FINDING (whose is it?) --> IDLE
 *          --new interface-------------> ADDING (monitor) --> CONFIGURING (guest) --> IDLE
 *          --changed-------------------> CONFIGURING (guest) --> IDLE
 *          --gone----------------------> UNPLUGGING (guest) --> REMOVING (monitor) --> IDLE
 *          --other nameservers---------> NAMING (guest) --> IDLE
 *
 * The guest is hostile, and the monitor after it: neither is waited for. One that does not answer gets no more changes.
 */
#ifndef BULKHEAD_RUNTIME_NET_WATCH_H
#define BULKHEAD_RUNTIME_NET_WATCH_H

#include <stdbool.h>

struct err;
struct loop;
struct net_watch;

struct net_watch_settings {
	int state_fd; /* the state directory, open for as long as the watch */
	bool use_vhost;
	int resolv_fd; /* see runtime/nameservers.h; likewise; -1: none */
};

/*
 * Opens whatever needs the host's mounts, which the proxy leaves later: what it keeps of them are two devices
 * (runtime/proxy_devices.h), and the state directory, for sockets. The caller has one thread, and is in the container's
 * network namespace.
 */
struct net_watch *net_watch_create(struct loop *loop, const struct net_watch_settings *settings, struct err *err);
void net_watch_destroy(struct net_watch *watch); /* NULL is fine */

#endif
