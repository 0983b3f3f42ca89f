/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/idmap.h"

#include "oci/alloc.h"
#include "oci/json.h"

#include <stdlib.h>

enum { MAPPINGS_MAX = 340 };

static int parse_one(const struct oci_json *at, struct oci_id_mapping *out, struct err *err)
{
	uint64_t container, host, size;

	if (oci_json_need_uint(at, "containerID", UINT32_MAX, &container, err) < 0 ||
	    oci_json_need_uint(at, "hostID", UINT32_MAX, &host, err) < 0 ||
	    oci_json_need_uint(at, "size", UINT32_MAX, &size, err) < 0)
		return -1;
	/* The last id, 2^32 - 1, is "no id" to the kernel. */
	if (size == 0 || container + size > UINT32_MAX || host + size > UINT32_MAX)
		return oci_json_refuse(at, err, "maps nothing, or beyond the last id");
	*out = (struct oci_id_mapping){ (uint32_t)container, (uint32_t)host, (uint32_t)size };
	return 0;
}

int oci_id_mappings_parse(const struct oci_json *object, const char *key, struct oci_id_mappings *out, struct err *err)
{
	struct oci_json array, at;
	int found = oci_json_array(object, key, &array, err);

	if (found <= 0)
		return found;
	if (oci_json_length(&array) > MAPPINGS_MAX)
		return oci_json_refuse(&array, err, "more than %d mappings", MAPPINGS_MAX);
	for (size_t i = 0; i < oci_json_length(&array); i++) {
		out->items = oci_grow(out->items, out->count, sizeof *out->items);
		if (oci_json_element(&array, i, &at, err) < 0 || parse_one(&at, &out->items[out->count], err) < 0)
			return -1;
		out->count++;
	}
	return 1;
}

void oci_id_mappings_copy(struct oci_id_mappings *out, const struct oci_id_mappings *from)
{
	for (size_t i = 0; i < from->count; i++) {
		out->items = oci_grow(out->items, out->count, sizeof *out->items);
		out->items[out->count++] = from->items[i];
	}
}

void oci_id_mappings_destroy(struct oci_id_mappings *mappings)
{
	free(mappings->items);
	*mappings = (struct oci_id_mappings){ 0 };
}
