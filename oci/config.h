/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - a bundle's config.json, read, checked and turned into plain C.
 *
 * Everything a bundle can say is either in here, or refused by name, or ignored with a debug line:
 * docs/compatibility.md says which. One owner, one destroy; pointers are NULL where the document says nothing.
 */
#ifndef BULKHEAD_OCI_CONFIG_H
#define BULKHEAD_OCI_CONFIG_H

#include "oci/devices.h"
#include "oci/hooks.h"
#include "oci/idmap.h"
#include "oci/mounts.h"
#include "oci/namespaces.h"
#include "oci/process.h"
#include "oci/resources.h"
#include "oci/seccomp.h"
#include "oci/strings.h"
#include "oci/vm_section.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct oci_time_offset {
	uint32_t clock; /* CLOCK_MONOTONIC or CLOCK_BOOTTIME */
	int64_t seconds;
	uint32_t nanoseconds;
};

struct oci_config {
	char *bundle; /* absolute directory, symlinks resolved */
	char *oci_version;
	struct oci_process process;
	char *root_path; /* absolute, or relative to the bundle */
	bool root_readonly;
	char *hostname, *domainname;
	struct oci_mount *mounts;
	size_t mount_count;
	struct oci_hooks hooks;
	struct oci_map annotations;
	struct oci_vm vm;

	/* linux.* */
	struct oci_namespaces namespaces;
	struct oci_map net_devices; /* name on the host, name in the container */
	struct oci_id_mappings uid_mappings, gid_mappings;
	struct oci_time_offset time_offsets[2];
	size_t time_offset_count;
	struct oci_devices devices;
	char *cgroups_path;
	bool has_resources;
	struct oci_resources resources;
	struct oci_map sysctl;
	bool has_seccomp;
	struct oci_seccomp seccomp;
	uint64_t rootfs_propagation; /* MS_*; 0: not set */
	struct oci_strings masked_paths, readonly_paths;
	char *mount_label; /* not applied in the guest */
	bool has_personality;
	uint32_t personality;
};

/* `path` is a bundle's directory, or a file that takes the place of its config.json. */
int oci_config_load(const char *path, struct oci_config **out, struct err *err);

/* The same from memory, as if it were config.json in the directory `bundle` (absolute). */
int oci_config_parse(const char *bundle, const char *text, size_t length, struct oci_config **out, struct err *err);

void oci_config_destroy(struct oci_config *config); /* NULL is fine */

#endif
