/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/features.h"

#include "oci/alloc.h"
#include "oci/capabilities.h"
#include "oci/hooks.h"
#include "oci/mounts.h"
#include "oci/names.h"
#include "oci/seccomp.h"
#include "oci/vm_size.h"

#include "common/auto.h"

#include <json-c/json.h>
#include <seccomp.h>

static void add_string(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, json_object_new_string(value));
}

static void add_bool(struct json_object *object, const char *key, bool value)
{
	json_object_object_add(object, key, json_object_new_boolean(value));
}

static struct json_object *add_object(struct json_object *object, const char *key)
{
	struct json_object *inner = json_object_new_object();

	json_object_object_add(object, key, inner);
	return inner;
}

static void add_list(struct json_object *object, const char *key, const char *const *names)
{
	struct json_object *array = json_object_new_array();

	for (; *names; names++)
		json_object_array_add(array, json_object_new_string(*names));
	json_object_object_add(object, key, array);
}

static void add_table(struct json_object *object, const char *key, const struct oci_name *table)
{
	struct json_object *array = json_object_new_array();

	for (; table->name; table++)
		json_object_array_add(array, json_object_new_string(table->name));
	json_object_object_add(object, key, array);
}

static void add_enabled(struct json_object *object, const char *key, bool enabled)
{
	add_bool(add_object(object, key), "enabled", enabled);
}

static void add_linux(struct json_object *features)
{
	static const char *const namespaces[] = { "cgroup", "ipc",  "mount", "network", "pid",
						  "time",   "user", "uts",   NULL };
	const char *capabilities[OCI_CAPABILITY_COUNT + 1] = { NULL };
	struct json_object *section = add_object(features, "linux");

	for (unsigned i = 0; i < OCI_CAPABILITY_COUNT; i++)
		capabilities[i] = oci_capability_name(i);
	add_list(section, "namespaces", namespaces);
	add_list(section, "capabilities", capabilities);

	/* v1 hosts: containers run there, without limits from the host. */
	struct json_object *cgroup = add_object(section, "cgroup");
	add_bool(cgroup, "v1", false);
	add_bool(cgroup, "v2", true);
	add_bool(cgroup, "systemd", true);
	add_bool(cgroup, "systemdUser", false);
	add_bool(cgroup, "rdma", false);

	struct json_object *seccomp = add_object(section, "seccomp");
	add_bool(seccomp, "enabled", true);
	add_table(seccomp, "actions", oci_seccomp_actions());
	add_table(seccomp, "operators", oci_seccomp_operators());
	add_table(seccomp, "archs", oci_seccomp_arches());
	add_table(seccomp, "knownFlags", oci_seccomp_flags());
	add_table(seccomp, "supportedFlags", oci_seccomp_flags());

	add_enabled(section, "apparmor", false);
	add_enabled(section, "selinux", false);
	add_enabled(section, "intelRdt", false);
	add_enabled(add_object(section, "mountExtensions"), "idmap", true);
}

char *oci_features_text(const char *version)
{
	static const char *const unsafe_annotations[] = { OCI_ANNOTATION_PREFIX, NULL };
	const struct scmp_version *libseccomp = seccomp_version();
	const char *hooks[OCI_HOOK_COUNT + 1] = { NULL };
	struct json_object *features = json_object_new_object();

	for (int i = 0; i < OCI_HOOK_COUNT; i++)
		hooks[i] = oci_hook_name((enum oci_hook_kind)i);
	add_string(features, "ociVersionMin", OCI_VERSION_MIN);
	add_string(features, "ociVersionMax", OCI_VERSION_MAX);
	add_list(features, "hooks", hooks);
	add_list(features, "mountOptions", oci_mount_option_names());
	add_linux(features);

	struct json_object *annotations = add_object(features, "annotations");
	auto_free char *seccomp_text = oci_format("%u.%u.%u", libseccomp->major, libseccomp->minor, libseccomp->micro);
	add_string(annotations, "io.github.seccomp.libseccomp.version", seccomp_text);
	add_string(annotations, "io.bulkhead.version", version);
	/* Annotations with this prefix change what the runtime does: engines must not let images set them. */
	add_list(features, "potentiallyUnsafeConfigAnnotations", unsafe_annotations);

	char *text = oci_strdup(json_object_to_json_string_ext(
		features, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(features);
	return text;
}
