/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network.h - the interfaces in a container's network namespace, brought into its VM.
 *
 * Stateless: an interface with a tap beside it has been brought in, by whichever process. So every function may be
 * called again, and after a crash. The caller is single-threaded: it enters the namespace for a while.
 */
#ifndef BULKHEAD_RUNTIME_NETWORK_H
#define BULKHEAD_RUNTIME_NETWORK_H

#include <stdbool.h>
#include <sys/types.h>

struct agent_client;
struct err;

struct network {
	int dirfd; /* state directory, with the monitor's and the agent's sockets */
	bool use_vhost;
};

/*
 * Brings every interface that is there and was not brought in yet into the VM, configured when this returns. The
 * namespace is the one `pid` is in; nothing happens if that is the host's, or ours.
 */
int network_attach(const struct network *network, pid_t pid, struct agent_client *agent, struct err *err);

/* After the VM has ended: cleans the namespace at `path`, if it is still there. */
void network_clean(const char *path);

#endif
