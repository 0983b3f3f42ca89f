/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network.h - the interfaces in a container's network namespace, brought into its VM.
 *
 * Stateless: an interface with a tap beside it has been brought in, by whichever process. So every function may be
 * called again, and after a crash. The caller is single-threaded: it enters the namespace for a while. What comes and
 * goes after `start` is the proxy's part: runtime/net_watch.h.
 */
#ifndef BULKHEAD_RUNTIME_NETWORK_H
#define BULKHEAD_RUNTIME_NETWORK_H

#include <stdbool.h>
#include <sys/types.h>

struct agent_client;
struct err;

/* Noted in the store of a container whose configuration names no network: one line about that, for people. */
#define NETWORK_NONE "no-network"
void network_tell_of_none(int fd, bool is_raw_terminal);

struct network {
	int dirfd; /* state directory, with the monitor's and the agent's sockets */
	bool use_vhost;
	int resolv_fd; /* see runtime/nameservers.h */
};

/*
 * Brings every interface that is there and was not brought in yet into the VM, configured when this returns, and has
 * the guest ask the nameservers in the namespace. Code EBUSY: an interface is in another VM. The namespace is the one
 * `pid` is in; nothing happens if that is the host's, or ours.
 */
int network_attach(const struct network *network, pid_t pid, struct agent_client *agent, struct err *err);

/* Whether `fd` is of a network namespace, and not of another kind or a plain file. */
bool network_is_namespace(int fd);

/* Whether the namespace that `fd` is of is the host's, or ours. */
bool network_is_hosts_own(int fd);

/* Whether this process is in the host's own network namespace; also if that cannot be told. */
bool network_is_hosts(void);

/* A descriptor of vhost-net below the host's /dev; -1: none, or not wanted. */
int network_open_vhost(int dev_fd, bool use_vhost);

/* After the VM has ended: cleans the namespace at `path`, if it is still there. */
void network_clean(const char *path);

#endif
