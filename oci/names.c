/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/names.h"

#include "oci/json.h"
#include "oci/strings.h"

#include "common/auto.h"

#include <stdio.h>
#include <string.h>

bool oci_name_find(const struct oci_name *table, const char *name, uint64_t *out)
{
	for (; table->name; table++) {
		if (strcmp(table->name, name) == 0) {
			*out = table->value;
			return true;
		}
	}
	return false;
}

static int refuse(const struct oci_json *at, const struct oci_name *table, const char *name, struct err *err)
{
	char known[512];
	size_t used = 0;

	known[0] = '\0';
	for (; table->name && used < sizeof known; table++)
		used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", table->name);
	return oci_json_refuse(at, err, "\"%s\" is none of %s", name, known);
}

int oci_name_parse(const struct oci_json *object, const char *key, const struct oci_name *table, uint64_t *out,
		   struct err *err)
{
	auto_free char *name = NULL;
	int found = oci_json_string(object, key, &name, err);

	if (found > 0 && !oci_name_find(table, name, out)) {
		struct oci_json at = oci_json_member(object, key);

		return refuse(&at, table, name, err);
	}
	return found;
}

int oci_name_parse_flags(const struct oci_json *object, const char *key, const struct oci_name *table, uint64_t *out,
			 struct err *err)
{
	struct oci_strings names = { 0 };
	int found = oci_json_strings(object, key, &names, err);

	for (size_t i = 0; found > 0 && i < names.count; i++) {
		uint64_t value = 0;

		if (!oci_name_find(table, names.items[i], &value)) {
			struct oci_json array = oci_json_member(object, key);
			struct oci_json at = { .value = array.value, .parent = &array, .index = i };

			found = refuse(&at, table, names.items[i], err);
			break;
		}
		*out |= value;
	}
	oci_strings_destroy(&names);
	return found;
}
