/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idmap.h - lists of user or group id mappings, of a user namespace or of an id-mapped mount.
 */
#ifndef BULKHEAD_OCI_IDMAP_H
#define BULKHEAD_OCI_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct oci_json;

struct oci_id_mapping {
	uint32_t container_id; /* the inside of a user namespace; the file system's id for a mount */
	uint32_t host_id;
	uint32_t size;
};

struct oci_id_mappings {
	struct oci_id_mapping *items;
	size_t count;
};

/* 1 if present, 0 if absent, -1 refused. At most 340 entries (user_namespaces(7)), none empty or beyond 2^32. */
int oci_id_mappings_parse(const struct oci_json *object, const char *key, struct oci_id_mappings *out, struct err *err);
void oci_id_mappings_copy(struct oci_id_mappings *out, const struct oci_id_mappings *from);
void oci_id_mappings_destroy(struct oci_id_mappings *mappings);

#endif
