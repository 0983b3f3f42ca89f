/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.h - tables from names in JSON to the kernel's numbers.
 */
#ifndef BULKHEAD_OCI_NAMES_H
#define BULKHEAD_OCI_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct oci_json;

/* A table ends with a NULL name. */
struct oci_name {
	const char *name;
	uint64_t value;
};

bool oci_name_find(const struct oci_name *table, const char *name, uint64_t *out);

/* A member that must be one of the table's names; 1 if present, 0 if absent, -1 refused, with the names listed. */
int oci_name_parse(const struct oci_json *object, const char *key, const struct oci_name *table, uint64_t *out,
		   struct err *err);

/* An array of names: their values or-ed together. */
int oci_name_parse_flags(const struct oci_json *object, const char *key, const struct oci_name *table, uint64_t *out,
			 struct err *err);

#endif
