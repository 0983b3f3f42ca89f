/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/strings.h"

#include "oci/alloc.h"

#include <stdlib.h>
#include <string.h>

void oci_strings_add(struct oci_strings *strings, const char *text)
{
	strings->items = oci_grow(strings->items, strings->count, sizeof *strings->items);
	strings->items[strings->count++] = oci_strdup(text);
}

bool oci_strings_have(const struct oci_strings *strings, const char *text)
{
	for (size_t i = 0; i < strings->count; i++)
		if (strcmp(strings->items[i], text) == 0)
			return true;
	return false;
}

void oci_strings_copy(struct oci_strings *out, const struct oci_strings *from)
{
	for (size_t i = 0; i < from->count; i++)
		oci_strings_add(out, from->items[i]);
}

void oci_strings_destroy(struct oci_strings *strings)
{
	for (size_t i = 0; i < strings->count; i++)
		free(strings->items[i]);
	free(strings->items);
	*strings = (struct oci_strings){ 0 };
}

static struct oci_pair *find(const struct oci_map *map, const char *key)
{
	for (size_t i = 0; i < map->count; i++)
		if (strcmp(map->items[i].key, key) == 0)
			return &map->items[i];
	return NULL;
}

void oci_map_add(struct oci_map *map, const char *key, const char *value)
{
	map->items = oci_grow(map->items, map->count, sizeof *map->items);
	map->items[map->count++] = (struct oci_pair){ oci_strdup(key), oci_strdup(value) };
}

void oci_map_set(struct oci_map *map, const char *key, const char *value)
{
	struct oci_pair *pair = find(map, key);

	if (pair) {
		free(pair->value);
		pair->value = oci_strdup(value);
	} else {
		oci_map_add(map, key, value);
	}
}

const char *oci_map_get(const struct oci_map *map, const char *key)
{
	const struct oci_pair *pair = find(map, key);

	return pair ? pair->value : NULL;
}

void oci_map_copy(struct oci_map *out, const struct oci_map *from)
{
	for (size_t i = 0; i < from->count; i++)
		oci_map_add(out, from->items[i].key, from->items[i].value);
}

void oci_map_destroy(struct oci_map *map)
{
	for (size_t i = 0; i < map->count; i++) {
		free(map->items[i].key);
		free(map->items[i].value);
	}
	free(map->items);
	*map = (struct oci_map){ 0 };
}
