/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strings.h - owned lists of strings, and of named strings, in the order they were written.
 *
 * All-zero is the empty list. A list owns its strings.
 */
#ifndef BULKHEAD_OCI_STRINGS_H
#define BULKHEAD_OCI_STRINGS_H

#include <stdbool.h>
#include <stddef.h>

struct oci_strings {
	char **items;
	size_t count;
};

struct oci_pair {
	char *key, *value;
};

struct oci_map {
	struct oci_pair *items;
	size_t count;
};

void oci_strings_add(struct oci_strings *strings, const char *text); /* a copy of it */
bool oci_strings_have(const struct oci_strings *strings, const char *text);
void oci_strings_copy(struct oci_strings *out, const struct oci_strings *from); /* `out` is empty before */
void oci_strings_destroy(struct oci_strings *strings);

/* Copies of both. A key that is there already gets the new value with `set`; with `add` it must not be there. */
void oci_map_add(struct oci_map *map, const char *key, const char *value);
void oci_map_set(struct oci_map *map, const char *key, const char *value);
const char *oci_map_get(const struct oci_map *map, const char *key); /* NULL: not there */
void oci_map_copy(struct oci_map *out, const struct oci_map *from);
void oci_map_destroy(struct oci_map *map);

#endif
