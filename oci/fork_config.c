/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/fork_config.h"

#include "common/err.h"

#include "oci/alloc.h"
#include "oci/json.h"

#include <json-c/json.h>
#include <string.h>

static void forget_network_path(struct json_object *namespaces)
{
	size_t count = json_object_is_type(namespaces, json_type_array) ? json_object_array_length(namespaces) : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_array_get_idx(namespaces, i), *type;

		if (json_object_is_type(item, json_type_object) && json_object_object_get_ex(item, "type", &type) &&
		    json_object_is_type(type, json_type_string) && strcmp(json_object_get_string(type), "network") == 0)
			json_object_object_del(item, "path");
	}
}

char *oci_fork_config(const char *text, const char *id, struct err *err)
{
	struct json_object *document, *linux_object, *namespaces, *hostname;
	char *out;

	if (oci_json_parse("config.json", text, strlen(text), &document, err) < 0)
		return NULL;
	if (json_object_object_get_ex(document, "hostname", &hostname) && hostname)
		json_object_object_add(document, "hostname", json_object_new_string(id));
	json_object_object_del(document, "hooks");
	if (json_object_object_get_ex(document, "linux", &linux_object) &&
	    json_object_is_type(linux_object, json_type_object)) {
		json_object_object_del(linux_object, "cgroupsPath");
		json_object_object_del(linux_object, "netDevices"); /* the original has them */
		if (json_object_object_get_ex(linux_object, "namespaces", &namespaces))
			forget_network_path(namespaces);
	}
	out = oci_strdup(json_object_to_json_string_ext(document, JSON_C_TO_STRING_PLAIN));
	json_object_put(document);
	return out;
}
