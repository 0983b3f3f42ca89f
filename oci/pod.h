/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod.h - what a container's annotations say of its pod: Kubernetes' engines name, in these, the sandbox container that
 * a pod begins with, and what the pod as a whole may use (CRI; the names are containerd's and CRI-O's).
 */
#ifndef BULKHEAD_OCI_POD_H
#define BULKHEAD_OCI_POD_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct oci_config;
struct oci_map;

enum oci_pod_role {
	OCI_POD_NONE,    /* on its own */
	OCI_POD_SANDBOX, /* the first of a pod: its VM is the pod's */
	OCI_POD_MEMBER,  /* of the pod of another container */
};

struct oci_pod {
	enum oci_pod_role role;
	const char *sandbox; /* of a member: the sandbox container's id, checked; lives as long as the annotations */
};

/* Refuses by name what makes no sense. A sandbox that is named without a type, or a type of neither, is no pod. */
int oci_pod_find(const struct oci_map *annotations, struct oci_pod *out, struct err *err);

/*
 * Whether others may name it as their sandbox: it says that it is one or, as Podman's infra container, nothing of pods
 * at all. Podman tells the members only, as Kata needs no more.
 */
bool oci_pod_may_lead(const struct oci_map *annotations);

/* Whether Podman made the configuration. */
bool oci_is_podmans(const struct oci_map *annotations);

/* Sums over the pod's containers, from the sandbox's annotations; 0: not said. */
struct oci_pod_size {
	uint64_t memory; /* bytes */
	uint64_t cpu_shares, cpu_quota, cpu_period;
};

int oci_pod_size(const struct oci_map *annotations, struct oci_pod_size *out, struct err *err);

/*
 * A sandbox's own limits are meant for the few KB of its `pause` process, but its cgroup on the host holds the VM: puts
 * what the pod may use in their place. The pod's memory is bounded by the cgroup above, which the kubelet makes.
 */
void oci_pod_set_resources(struct oci_config *config, const struct oci_pod_size *size);

#endif
