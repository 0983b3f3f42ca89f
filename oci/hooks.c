/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/hooks.h"

#include "oci/alloc.h"
#include "oci/json.h"

#include <assert.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>

static const char *const names[] = {
	[OCI_HOOK_PRESTART] = "prestart",
	[OCI_HOOK_CREATE_RUNTIME] = "createRuntime",
	[OCI_HOOK_CREATE_CONTAINER] = "createContainer",
	[OCI_HOOK_START_CONTAINER] = "startContainer",
	[OCI_HOOK_POSTSTART] = "poststart",
	[OCI_HOOK_POSTSTOP] = "poststop",
};
static_assert(sizeof names / sizeof *names == OCI_HOOK_COUNT, "one name per list");

const char *oci_hook_name(enum oci_hook_kind kind)
{
	assert(kind < OCI_HOOK_COUNT);
	return names[kind];
}

static int parse_one(const struct oci_json *at, struct oci_hook *out, struct err *err)
{
	int64_t timeout = 0;
	int has_env = oci_json_strings(at, "env", &out->env, err);

	if (has_env < 0 || oci_json_need_path(at, "path", &out->path, err) < 0 ||
	    oci_json_strings(at, "args", &out->args, err) < 0 ||
	    oci_json_int(at, "timeout", 1, INT_MAX, &timeout, err) < 0)
		return -1;
	out->timeout = (unsigned)timeout;
	out->inherits_env = has_env == 0;
	return 0;
}

int oci_hook_list_parse(const struct oci_json *at, const char *key, struct oci_hook_list *out, struct err *err)
{
	struct oci_json array, item;
	int found = oci_json_array(at, key, &array, err);

	for (size_t i = 0; found > 0 && i < oci_json_length(&array); i++) {
		out->items = oci_grow(out->items, out->count, sizeof *out->items);
		if (oci_json_element(&array, i, &item, err) < 0 || parse_one(&item, &out->items[out->count++], err) < 0)
			return -1;
	}
	return found < 0 ? -1 : 0;
}

int oci_hooks_parse(const struct oci_json *at, struct oci_hooks *out, struct err *err)
{
	struct oci_json hooks;
	int found = oci_json_object(at, "hooks", &hooks, err);

	for (int i = 0; found > 0 && i < OCI_HOOK_COUNT; i++)
		if (oci_hook_list_parse(&hooks, names[i], &out->lists[i], err) < 0)
			return -1;
	return found < 0 ? -1 : 0;
}

static struct json_object *strings_to_json(const struct oci_strings *strings)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < strings->count; i++)
		json_object_array_add(array, json_object_new_string(strings->items[i]));
	return array;
}

struct json_object *oci_hook_list_to_json(const struct oci_hook_list *list)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < list->count; i++) {
		const struct oci_hook *hook = &list->items[i];
		struct json_object *item = json_object_new_object();

		json_object_object_add(item, "path", json_object_new_string(hook->path));
		json_object_object_add(item, "args", strings_to_json(&hook->args));
		if (!hook->inherits_env)
			json_object_object_add(item, "env", strings_to_json(&hook->env));
		if (hook->timeout)
			json_object_object_add(item, "timeout", json_object_new_int64(hook->timeout));
		json_object_array_add(array, item);
	}
	return array;
}

void oci_hook_list_copy(struct oci_hook_list *out, const struct oci_hook_list *from)
{
	for (size_t i = 0; i < from->count; i++) {
		out->items = oci_grow(out->items, out->count, sizeof *out->items);
		struct oci_hook *hook = &out->items[out->count++];

		hook->path = oci_strdup(from->items[i].path);
		oci_strings_copy(&hook->args, &from->items[i].args);
		oci_strings_copy(&hook->env, &from->items[i].env);
		hook->inherits_env = from->items[i].inherits_env;
		hook->timeout = from->items[i].timeout;
	}
}

void oci_hook_list_destroy(struct oci_hook_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].path);
		oci_strings_destroy(&list->items[i].args);
		oci_strings_destroy(&list->items[i].env);
	}
	free(list->items);
	*list = (struct oci_hook_list){ 0 };
}

void oci_hooks_destroy(struct oci_hooks *hooks)
{
	for (int i = 0; i < OCI_HOOK_COUNT; i++)
		oci_hook_list_destroy(&hooks->lists[i]);
}
