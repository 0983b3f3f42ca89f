/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod.h - a container in the VM of another: the sandbox container of its pod (oci/pod.h).
 *
 * A member has a state directory, a proxy and a host cgroup like any container, but no monitor. The sockets in its
 * directory are hard links of the sandbox's: they lead to the VM it was made in and, when that has gone, to none, so
 * everything that talks to agent or monitor does so as for a container on its own. The sandbox's proxy watches the
 * monitor; a member's proxy sees the VM's end by its connection's.
 *
 * What members mount is shared with the VM by what it is, not by who mounts it: containers of a pod that mount the same
 * folder have the same files in the guest, so sockets, locks and mapped memory in it connect them. A share goes with
 * the last member that has it. The sandbox's lock orders this.
 */
#ifndef BULKHEAD_RUNTIME_POD_H
#define BULKHEAD_RUNTIME_POD_H

#include "runtime/container.h"

#include "agent.pb.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct globals;
struct launch;
struct oci_config;
struct oci_host_config;
struct oci_shares;

struct pod {
	bool joins;               /* false: the container gets a VM of its own */
	bool is_sandbox;          /* and others will join it */
	struct container sandbox; /* with `joins` */
	struct oci_config *sandbox_config;
	char *found; /* by pod_container_of_namespace */
};

/*
 * Looks where the container belongs: to the sandbox that it names, or to the container whose network it names by
 * process. A member whose network is not its pod's has a VM of its own: two networks cannot be one machine's. So has
 * one whose sandbox does not exist, if its namespaces allow it. Close it in any case.
 */
int pod_open(struct pod *pod, const struct globals *globals, const struct oci_config *config, struct err *err);
void pod_close(struct pod *pod);

/* For struct oci_describe_context, with the pod as argument. */
const char *pod_container_of_namespace(void *pod, uint32_t clone_flag, const char *path);

/* Gives the opened shares the names they have in the pod's VM, in the description too; the store remembers them. */
int pod_name_shares(const struct launch *launch, struct oci_shares *shares, agent_Container *description,
		    struct oci_store *store, struct err *err);

/* The member's record is written; now its sockets, its shares into the VM, and memory for its limit. */
int pod_join(struct pod *pod, const struct container *member, const struct launch *launch,
	     const struct oci_shares *shares, const struct oci_config *config, const struct oci_host_config *host,
	     struct err *err);

/* A member is being removed: whatever is left of it in the VM, if there is still one. Nothing is done otherwise. */
void pod_leave(const struct container *container);

#endif
