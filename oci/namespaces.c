/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/namespaces.h"

#include "oci/alloc.h"
#include "oci/json.h"
#include "oci/names.h"

#include <sched.h>
#include <stdlib.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

static const struct oci_name types[] = {
	{ "cgroup", CLONE_NEWCGROUP }, { "ipc", CLONE_NEWIPC }, { "mount", CLONE_NEWNS },
	{ "network", CLONE_NEWNET },   { "pid", CLONE_NEWPID }, { "time", CLONE_NEWTIME },
	{ "user", CLONE_NEWUSER },     { "uts", CLONE_NEWUTS }, { NULL, 0 },
};

int oci_namespaces_parse(const struct oci_json *linux_object, struct oci_namespaces *out, struct err *err)
{
	struct oci_json array, at;
	int found = oci_json_array(linux_object, "namespaces", &array, err);

	for (size_t i = 0; found > 0 && i < oci_json_length(&array); i++) {
		uint64_t flag = 0;

		if (oci_json_element(&array, i, &at, err) < 0)
			return -1;
		int named = oci_name_parse(&at, "type", types, &flag, err);
		if (named < 0)
			return -1;
		if (named == 0)
			return oci_json_refuse(&at, err, "has no type");
		if (oci_namespaces_find(out, (uint32_t)flag))
			return oci_json_refuse(&at, err, "a second namespace of type %s",
					       oci_namespace_name((uint32_t)flag));
		out->items = oci_grow(out->items, out->count, sizeof *out->items);
		struct oci_namespace *item = &out->items[out->count++];
		item->clone_flag = (uint32_t)flag;
		if (oci_json_string(&at, "path", &item->path, err) < 0)
			return -1;
		/* An empty path is how some engines say "a new one". */
		if (item->path && !item->path[0]) {
			free(item->path);
			item->path = NULL;
		} else if (item->path && item->path[0] != '/') {
			return oci_json_refuse(&at, err, "path must be absolute, not \"%s\"", item->path);
		}
	}
	return found < 0 ? -1 : 0;
}

void oci_namespaces_destroy(struct oci_namespaces *namespaces)
{
	for (size_t i = 0; i < namespaces->count; i++)
		free(namespaces->items[i].path);
	free(namespaces->items);
	*namespaces = (struct oci_namespaces){ 0 };
}

const struct oci_namespace *oci_namespaces_find(const struct oci_namespaces *namespaces, uint32_t clone_flag)
{
	for (size_t i = 0; i < namespaces->count; i++)
		if (namespaces->items[i].clone_flag == clone_flag)
			return &namespaces->items[i];
	return NULL;
}

const char *oci_namespace_name(uint32_t clone_flag)
{
	for (const struct oci_name *type = types; type->name; type++)
		if (type->value == clone_flag)
			return type->name;
	return NULL;
}
