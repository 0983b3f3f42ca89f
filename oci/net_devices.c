/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/net_devices.h"

#include "oci/json.h"
#include "oci/namespaces.h"
#include "oci/strings.h"

#include "common/auto.h"

#include <ctype.h>
#include <json-c/json.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>

/* As the kernel's dev_valid_name has it; '%' would ask it to choose a number. */
static bool is_name(const char *name)
{
	if (!name[0] || strlen(name) >= IFNAMSIZ || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (; *name; name++)
		if (strchr("/:%", *name) || isspace((unsigned char)*name))
			return false;
	return true;
}

static int parse_one(const struct oci_json *at, struct oci_map *out, struct err *err)
{
	auto_free char *name = NULL;

	if (!json_object_is_type(at->value, json_type_object))
		return oci_json_refuse(at, err, "must be an object");
	if (!is_name(at->key))
		return oci_json_refuse(at, err, "invalid network device name \"%s\"", at->key);
	if (oci_json_string(at, "name", &name, err) < 0)
		return -1;
	if (name && name[0] && !is_name(name))
		return oci_json_refuse(at, err, "invalid network device name \"%s\"", name);
	const char *inside = name && name[0] ? name : at->key;
	for (size_t i = 0; i < out->count; i++)
		if (strcmp(out->items[i].value, inside) == 0)
			return oci_json_refuse(at, err, "a second network device with the name %s", inside);
	oci_map_add(out, at->key, inside);
	return 0;
}

int oci_net_devices_parse(const struct oci_json *linux_object, const struct oci_namespaces *namespaces,
			  struct oci_map *out, struct err *err)
{
	struct oci_json devices;
	int found = oci_json_object(linux_object, "netDevices", &devices, err);

	if (found <= 0 || json_object_object_length(devices.value) == 0)
		return found;
	if (!oci_namespaces_find(namespaces, CLONE_NEWNET))
		return oci_json_refuse(&devices, err, "unable to move network devices without a NET namespace");
	json_object_object_foreach(devices.value, name, value)
	{
		const struct oci_json at = { .value = value, .parent = &devices, .key = name };

		if (parse_one(&at, out, err) < 0)
			return -1;
	}
	return 1;
}
