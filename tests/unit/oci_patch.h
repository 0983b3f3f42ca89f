/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_patch.h - for tests of oci/: a small valid config.json, and changes to it written as merge patches (RFC 7396:
 * members replace members, null removes one) in single quotes.
 */
#ifndef BULKHEAD_TESTS_OCI_PATCH_H
#define BULKHEAD_TESTS_OCI_PATCH_H

#include "oci/config.h"

#include "common/err.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static const char patch_base[] =
	"{ 'ociVersion': '1.2.0',"
	"  'process': { 'args': ['sh', '-c', 'true'], 'cwd': '/', 'user': { 'uid': 0, 'gid': 0 } },"
	"  'root': { 'path': 'rootfs' },"
	"  'linux': { 'namespaces': [{ 'type': 'pid' }, { 'type': 'mount' }, { 'type': 'uts' }] } }";

static inline void patch_apply(struct json_object *target, struct json_object *patch)
{
	json_object_object_foreach(patch, key, value)
	{
		struct json_object *old = NULL;

		json_object_object_get_ex(target, key, &old);
		if (!value)
			json_object_object_del(target, key);
		else if (json_object_is_type(value, json_type_object) && json_object_is_type(old, json_type_object))
			patch_apply(old, value);
		else
			json_object_object_add(target, key, json_object_get(value));
	}
}

/* The base with `patch` applied, as a string to be freed. */
static inline char *patch_text(const char *patch)
{
	struct json_object *base = json_tokener_parse(patch_base);
	struct json_object *change = json_tokener_parse(patch);

	if (!base || !change) {
		fprintf(stderr, "not JSON: %s\n", patch);
		abort();
	}
	patch_apply(base, change);
	char *text = strdup(json_object_to_json_string(base));
	json_object_put(base);
	json_object_put(change);
	return text;
}

/* Reads the patched base as config.json of the bundle `bundle`. */
static inline int patch_load(const char *bundle, const char *patch, struct oci_config **out, struct err *err)
{
	char *text = patch_text(patch);
	int result = oci_config_parse(bundle, text, strlen(text), out, err);

	free(text);
	return result;
}

#endif
