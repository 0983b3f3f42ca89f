/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod_memory.h - the memory of a pod's VM follows the limits of the containers in it: it grows for one that joins or
 * whose limit is raised, and is asked to shrink again, to no less than it was made with, when one leaves.
 *
 * What the others' limits are, their cgroups in the guest say. A container without a limit counts as nothing. The
 * caller holds the sandbox's lock, which orders those who come and go.
 */
#ifndef BULKHEAD_RUNTIME_POD_MEMORY_H
#define BULKHEAD_RUNTIME_POD_MEMORY_H

#include <stdint.h>

struct err;
struct oci_host_config;

/* The member `id`, with the VM's sockets in `dirfd`, has, or is to have, this limit in bytes; 0: none, or it leaves. */
struct pod_member {
	const char *root, *sandbox, *id;
	int dirfd;
	uint64_t limit;
};

/* What the VM needs for all members, in bytes. */
int pod_memory_need(const struct pod_member *member, const struct oci_host_config *host, uint64_t *out,
		    struct err *err);

/* Waits until the memory is there. One that cannot grow (so far) is a warning: what there is serves as well as it can.
 */
void pod_memory_join(const struct pod_member *member, const struct oci_host_config *host);

/* Does not wait for what the guest gives back. */
void pod_memory_leave(const struct pod_member *member);

#endif
