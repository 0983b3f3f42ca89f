/* SPDX-License-Identifier: Apache-2.0 */
/*
 * namespaces.h - linux.namespaces: which are new, and which are joined by path.
 */
#ifndef BULKHEAD_OCI_NAMESPACES_H
#define BULKHEAD_OCI_NAMESPACES_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct oci_json;

struct oci_namespace {
	uint32_t clone_flag; /* CLONE_NEW* */
	char *path;          /* absolute, on the host; NULL: a new one */
};

struct oci_namespaces {
	struct oci_namespace *items;
	size_t count;
};

int oci_namespaces_parse(const struct oci_json *linux_object, struct oci_namespaces *out, struct err *err);
void oci_namespaces_destroy(struct oci_namespaces *namespaces);

/* NULL: none of that kind is listed. */
const struct oci_namespace *oci_namespaces_find(const struct oci_namespaces *namespaces, uint32_t clone_flag);

/* "network" for CLONE_NEWNET; NULL for a flag that is no namespace. */
const char *oci_namespace_name(uint32_t clone_flag);

#endif
