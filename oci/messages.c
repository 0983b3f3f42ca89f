/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/messages.h"

#include "oci/alloc.h"

#include <assert.h>
#include <string.h>

/* The reader of JSON lets no list grow beyond this (OCI_JSON_ITEMS_MAX). */
static pb_size_t counted(size_t count)
{
	assert(count <= PB_SIZE_MAX);
	return (pb_size_t)count;
}

void oci_message_strings(pb_size_t *count, char ***out, const struct oci_strings *strings)
{
	if (strings->count == 0)
		return;
	*out = oci_alloc(strings->count, sizeof **out);
	for (size_t i = 0; i < strings->count; i++)
		(*out)[i] = oci_strdup(strings->items[i]);
	*count = counted(strings->count);
}

void oci_message_map(pb_size_t *count, agent_FileValue **out, const struct oci_map *map)
{
	if (map->count == 0)
		return;
	*out = oci_alloc(map->count, sizeof **out);
	for (size_t i = 0; i < map->count; i++)
		(*out)[i] = (agent_FileValue){ oci_strdup(map->items[i].key), oci_strdup(map->items[i].value) };
	*count = counted(map->count);
}

void oci_message_mappings(pb_size_t *count, agent_IdMapping **out, const struct oci_id_mappings *mappings)
{
	if (mappings->count == 0)
		return;
	*out = oci_alloc(mappings->count, sizeof **out);
	for (size_t i = 0; i < mappings->count; i++)
		(*out)[i] = (agent_IdMapping){
			.container_id = mappings->items[i].container_id,
			.host_id = mappings->items[i].host_id,
			.size = mappings->items[i].size,
		};
	*count = counted(mappings->count);
}

void oci_message_numbers(pb_size_t *count, uint32_t **out, const uint32_t *numbers, size_t length)
{
	if (length == 0)
		return;
	*out = memcpy(oci_alloc(length, sizeof **out), numbers, length * sizeof *numbers);
	*count = counted(length);
}

pb_bytes_array_t *oci_message_bytes(const void *data, size_t length)
{
	if (length == 0)
		return NULL;
	pb_bytes_array_t *bytes = oci_alloc(PB_BYTES_ARRAY_T_ALLOCSIZE(length), 1);
	bytes->size = counted(length);
	memcpy(bytes->bytes, data, length);
	return bytes;
}
