/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create_cgroup.h - a new container's host cgroup: which, whether, with what limits (runtime/host_cgroup.h does it).
 */
#ifndef BULKHEAD_RUNTIME_CREATE_CGROUP_H
#define BULKHEAD_RUNTIME_CREATE_CGROUP_H

#include <stdint.h>

struct err;
struct globals;
struct oci_config;
struct oci_host_config;
struct oci_map;
struct oci_resources;
struct oci_store;

/* Sets store->cgroup_path, or leaves it NULL where there is to be none. Makes nothing, so that it is recorded first. */
int create_cgroup_choose(const struct globals *globals, const struct oci_config *config, struct oci_store *store,
			 struct err *err);

/*
 * Makes it, if one was chosen; *fd is its cgroup.procs then. Its limit of CPU time (`cpu.max`) is lifted again and put
 * into `later`: it would hold the VM up before there is anything of the container's in it. oci_map_destroy(later).
 */
int create_cgroup_make(const struct oci_config *config, const struct oci_host_config *host, struct oci_store *store,
		       int *fd, struct oci_map *later, struct err *err);
int create_cgroup_limit_cpu(const struct oci_store *store, const struct oci_map *later, struct err *err);

/*
 * The host's files and values for a container's limits, with room for the VM, for what it has beside the limit
 * (oci_vm_beside), and for monitor and proxy themselves.
 */
int create_cgroup_files(const struct oci_resources *resources, uint64_t beside, const struct oci_host_config *host,
			struct oci_map *files, struct err *err);

/* Raises the memory limit among them, if there is one that is lower, to what a VM of that size takes. */
void create_cgroup_keep_room(struct oci_map *files, uint64_t vm_bytes);

#endif
