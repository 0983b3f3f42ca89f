/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/config.h"

#include "oci/alloc.h"
#include "oci/json.h"
#include "oci/memory_policy.h"
#include "oci/names.h"
#include "oci/net_devices.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <libgen.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <time.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

static int parse_version(const struct oci_json *document, struct oci_config *out, struct err *err)
{
	struct oci_json at = oci_json_member(document, "ociVersion");
	char *end;

	if (oci_json_need_string(document, "ociVersion", &out->oci_version, err) < 0)
		return -1;
	if (!isdigit((unsigned char)out->oci_version[0]))
		return oci_json_refuse(&at, err, "\"%s\" is no version such as \"1.2.0\"", out->oci_version);
	long major = strtol(out->oci_version, &end, 10);
	if (*end != '.')
		return oci_json_refuse(&at, err, "\"%s\" is no version such as \"1.2.0\"", out->oci_version);
	if (major != 1)
		return oci_json_refuse(&at, err, "\"%s\" is not a version 1 of the specification", out->oci_version);
	return 0;
}

static int parse_process(const struct oci_json *document, struct oci_config *out, struct err *err)
{
	struct oci_json process;
	int found = oci_json_object(document, "process", &process, err);

	if (found == 0)
		return oci_json_refuse(&process, err, "missing");
	return found < 0 ? -1 : oci_process_parse(&process, &out->process, err);
}

static int parse_root(const struct oci_json *document, struct oci_config *out, struct err *err)
{
	struct oci_json root;
	int found = oci_json_object(document, "root", &root, err);

	if (found == 0)
		return oci_json_refuse(&root, err, "missing");
	if (found < 0 || oci_json_need_string(&root, "path", &out->root_path, err) < 0 ||
	    oci_json_bool(&root, "readonly", &out->root_readonly, err) < 0)
		return -1;
	if (!out->root_path[0]) {
		struct oci_json path = oci_json_member(&root, "path");
		return oci_json_refuse(&path, err, "is empty");
	}
	return 0;
}

static int parse_mounts(const struct oci_json *document, struct oci_config *out, struct err *err)
{
	struct oci_json array, at;
	int found = oci_json_array(document, "mounts", &array, err);

	for (size_t i = 0; found > 0 && i < oci_json_length(&array); i++) {
		out->mounts = oci_grow(out->mounts, out->mount_count, sizeof *out->mounts);
		if (oci_json_element(&array, i, &at, err) < 0 ||
		    oci_mount_parse(&at, &out->mounts[out->mount_count++], err) < 0)
			return -1;
	}
	return found;
}

/* Names are as long as the kernel's (64 bytes), and set in a namespace of the container's own. */
static int parse_host_names(const struct oci_json *document, struct oci_config *out, struct err *err)
{
	static const char *const keys[] = { "hostname", "domainname" };
	char **names[] = { &out->hostname, &out->domainname };

	for (int i = 0; i < 2; i++) {
		struct oci_json at = oci_json_member(document, keys[i]);

		if (oci_json_string(document, keys[i], names[i], err) < 0)
			return -1;
		if (!*names[i] || !(*names[i])[0])
			continue;
		if (strlen(*names[i]) > HOST_NAME_MAX)
			return oci_json_refuse(&at, err, "longer than %d bytes", HOST_NAME_MAX);
		if (!oci_namespaces_find(&out->namespaces, CLONE_NEWUTS))
			return oci_json_refuse(&at, err, "cannot be set without a uts namespace in linux.namespaces");
	}
	return 0;
}

static int parse_time_offsets(const struct oci_json *linux_object, struct oci_config *out, struct err *err)
{
	static const struct oci_name clocks[] = {
		{ "monotonic", CLOCK_MONOTONIC },
		{ "boottime", CLOCK_BOOTTIME },
		{ NULL, 0 },
	};
	struct oci_json offsets, at;
	int found = oci_json_object(linux_object, "timeOffsets", &offsets, err);

	if (found <= 0 || json_object_object_length(offsets.value) == 0)
		return found;
	if (!oci_namespaces_find(&out->namespaces, CLONE_NEWTIME))
		return oci_json_refuse(&offsets, err, "cannot be set without a time namespace in linux.namespaces");
	json_object_object_foreach(offsets.value, name, value)
	{
		uint64_t clock, nanoseconds = 0;
		int64_t seconds = 0;

		at = (struct oci_json){ .value = value, .parent = &offsets, .key = name };
		if (!oci_name_find(clocks, name, &clock))
			return oci_json_refuse(&at, err, "must be \"monotonic\" or \"boottime\"");
		if (!json_object_is_type(value, json_type_object))
			return oci_json_refuse(&at, err, "must be an object");
		if (oci_json_int(&at, "secs", INT64_MIN, INT64_MAX, &seconds, err) < 0 ||
		    oci_json_uint(&at, "nanosecs", 999999999, &nanoseconds, err) < 0)
			return -1;
		/* Two names and no duplicates: the array has room. */
		out->time_offsets[out->time_offset_count++] =
			(struct oci_time_offset){ (uint32_t)clock, seconds, (uint32_t)nanoseconds };
	}
	return 1;
}

/* Both dots and slashes separate. */
static bool sysctl_is(const char *name, const char *dotted)
{
	while (*name && (*name == *dotted || (*name == '/' && *dotted == '.')))
		name++, dotted++;
	return *name == *dotted;
}

/* The namespace that a kernel parameter belongs to; 0: none. */
static uint32_t sysctl_namespace(const char *name)
{
	static const char *const ipc[] = {
		"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
		"kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"
	};

	if (sysctl_is(name, "kernel.domainname"))
		return CLONE_NEWUTS;
	for (size_t i = 0; i < sizeof ipc / sizeof *ipc; i++)
		if (sysctl_is(name, ipc[i]))
			return CLONE_NEWIPC;
	if (strncmp(name, "net.", 4) == 0 || strncmp(name, "net/", 4) == 0)
		return CLONE_NEWNET;
	return strncmp(name, "fs.mqueue.", 10) == 0 || strncmp(name, "fs/mqueue/", 10) == 0 ? CLONE_NEWIPC : 0;
}

/*
 * They become names of files under /proc/sys: nothing that leads elsewhere. What would belong to the namespace of
 * somebody else is refused as runc does.
 */
static int parse_sysctl(const struct oci_json *linux_object, struct oci_config *out, struct err *err)
{
	struct oci_json member = oci_json_member(linux_object, "sysctl");
	int found = oci_json_map(linux_object, "sysctl", &out->sysctl, err);

	for (size_t i = 0; found > 0 && i < out->sysctl.count; i++) {
		const char *name = out->sysctl.items[i].key;
		struct oci_json at = { .parent = &member, .key = name };

		if (!name[0] || strchr("./", name[0]) || strstr(name, "..") || strstr(name, "/.") || strlen(name) > 255)
			return oci_json_refuse(&at, err, "is no name of a kernel parameter: contains an invalid path");
		if (sysctl_is(name, "kernel.hostname"))
			return oci_json_refuse(&at, err, "is not allowed: the host's name is in hostname");
		uint32_t kind = sysctl_namespace(name);
		if (kind && !oci_namespaces_find(&out->namespaces, kind))
			return oci_json_refuse(&at, err, "is not allowed without %s %s namespace in linux.namespaces",
					       kind == CLONE_NEWIPC ? "an" : "a", oci_namespace_name(kind));
	}
	return found;
}

static int parse_paths(const struct oci_json *linux_object, const char *key, struct oci_strings *out, struct err *err)
{
	struct oci_json array = oci_json_member(linux_object, key);
	int found = oci_json_strings(linux_object, key, out, err);

	for (size_t i = 0; found > 0 && i < out->count; i++) {
		struct oci_json at = { .parent = &array, .index = i };

		if (out->items[i][0] != '/')
			return oci_json_refuse(&at, err, "must be an absolute path, not \"%s\"", out->items[i]);
	}
	return found;
}

static int parse_propagation(const struct oci_json *linux_object, struct oci_config *out, struct err *err)
{
	struct oci_json at = oci_json_member(linux_object, "rootfsPropagation");
	auto_free char *text = NULL;

	if (oci_json_string(linux_object, "rootfsPropagation", &text, err) < 0)
		return -1;
	if (!text || !text[0])
		return 0;
	out->rootfs_propagation = oci_mount_propagation(text);
	if (!out->rootfs_propagation)
		return oci_json_refuse(&at, err, "\"%s\" is none of shared, slave, private, unbindable", text);
	return 1;
}

static int parse_personality(const struct oci_json *linux_object, struct oci_config *out, struct err *err)
{
	static const struct oci_name domains[] = { { "LINUX", PER_LINUX }, { "LINUX32", PER_LINUX32 }, { NULL, 0 } };
	static const struct oci_name flags[] = { { NULL, 0 } };
	struct oci_json object;
	uint64_t domain = 0, bits = 0;
	int found = oci_json_object(linux_object, "personality", &object, err);

	if (found <= 0)
		return found;
	int named = oci_name_parse(&object, "domain", domains, &domain, err);
	if (named <= 0)
		return named < 0 ? -1 : oci_json_refuse(&object, err, "has no domain");
	struct oci_json flags_member = oci_json_member(&object, "flags");
	if (oci_name_parse_flags(&object, "flags", flags, &bits, err) < 0)
		return oci_json_refuse(&flags_member, err, "no flags are defined");
	out->has_personality = true;
	out->personality = (uint32_t)domain;
	return 1;
}

/* What would need the host's resctrl file system. */
static int refuse_unsupported(const struct oci_json *linux_object, struct err *err)
{
	static const struct {
		const char *key, *why;
	} refused[] = {
		{ "intelRdt", "not supported: no resctrl group is made for a virtual machine" },
	};

	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		struct oci_json at;
		int found = oci_json_object(linux_object, refused[i].key, &at, err);

		if (found < 0)
			return -1;
		/* An empty object asks for nothing. */
		if (found > 0 && json_object_object_length(at.value) > 0)
			return oci_json_refuse(&at, err, "%s", refused[i].why);
	}
	return 0;
}

static int parse_linux(const struct oci_json *document, struct oci_config *out, struct err *err)
{
	static const char *const known[] = {
		"namespaces",    "uidMappings", "gidMappings", "timeOffsets",       "devices",      "cgroupsPath",
		"resources",     "sysctl",      "seccomp",     "rootfsPropagation", "maskedPaths",  "mountLabel",
		"readonlyPaths", "personality", "intelRdt",    "netDevices",        "memoryPolicy", NULL,
	};
	struct oci_json linux_object, at;
	int found = oci_json_object(document, "linux", &linux_object, err);

	if (found <= 0)
		return found;
	if (refuse_unsupported(&linux_object, err) < 0 ||
	    oci_namespaces_parse(&linux_object, &out->namespaces, err) < 0 ||
	    oci_net_devices_parse(&linux_object, &out->namespaces, &out->net_devices, err) < 0 ||
	    oci_memory_policy_check(&linux_object, err) < 0 ||
	    oci_id_mappings_parse(&linux_object, "uidMappings", &out->uid_mappings, err) < 0 ||
	    oci_id_mappings_parse(&linux_object, "gidMappings", &out->gid_mappings, err) < 0 ||
	    parse_time_offsets(&linux_object, out, err) < 0 ||
	    oci_devices_parse(&linux_object, &out->devices, err) < 0 ||
	    oci_json_string(&linux_object, "cgroupsPath", &out->cgroups_path, err) < 0 ||
	    parse_sysctl(&linux_object, out, err) < 0 || parse_propagation(&linux_object, out, err) < 0 ||
	    parse_paths(&linux_object, "maskedPaths", &out->masked_paths, err) < 0 ||
	    parse_paths(&linux_object, "readonlyPaths", &out->readonly_paths, err) < 0 ||
	    oci_json_string(&linux_object, "mountLabel", &out->mount_label, err) < 0 ||
	    parse_personality(&linux_object, out, err) < 0)
		return -1;
	found = oci_json_object(&linux_object, "resources", &at, err);
	if (found < 0 || (found > 0 && oci_resources_parse(&at, &out->resources, err) < 0))
		return -1;
	out->has_resources = found > 0;
	found = oci_json_object(&linux_object, "seccomp", &at, err);
	if (found < 0 || (found > 0 && oci_seccomp_parse(&at, &out->seccomp, err) < 0))
		return -1;
	out->has_seccomp = found > 0;
	oci_json_note_unknown(&linux_object, known);
	return 1;
}

/*
 * As crun does for root: a user namespace without mappings is one where every id is itself. In a VM that is no more
 * than being the guest's own users.
 */
static void add_default_mappings(struct oci_config *config)
{
	static const struct oci_id_mapping identity = { .size = UINT32_MAX };
	const struct oci_id_mappings everybody = { .items = (struct oci_id_mapping *)(size_t)&identity, .count = 1 };
	const struct oci_namespace *user = oci_namespaces_find(&config->namespaces, CLONE_NEWUSER);

	if (!user || user->path || config->uid_mappings.count || config->gid_mappings.count)
		return;
	oci_id_mappings_copy(&config->uid_mappings, &everybody);
	oci_id_mappings_copy(&config->gid_mappings, &everybody);
}

/* What spans more than one member. */
static int check_whole(const struct oci_json *document, const struct oci_config *config, struct err *err)
{
	const struct oci_namespace *user = oci_namespaces_find(&config->namespaces, CLONE_NEWUSER);
	struct oci_json linux_object = oci_json_member(document, "linux");
	struct oci_json mappings = oci_json_member(&linux_object, "uidMappings");

	if (!user && (config->uid_mappings.count || config->gid_mappings.count))
		return oci_json_refuse(&mappings, err, "needs a user namespace in linux.namespaces");
	if (user && !user->path && (!config->uid_mappings.count || !config->gid_mappings.count))
		return oci_json_refuse(&mappings, err,
				       "and gidMappings are needed for a new user namespace in linux.namespaces");
	for (size_t i = 0; i < config->mount_count; i++) {
		struct oci_json mounts = oci_json_member(document, "mounts");
		struct oci_json at = { .parent = &mounts, .index = i };

		if (config->mounts[i].idmap && !config->mounts[i].uid_mappings.count && !config->uid_mappings.count)
			return oci_json_refuse(&at, err,
					       "idmap needs uidMappings and gidMappings, here or of a user namespace");
	}
	return 0;
}

static int parse_document(const struct oci_json *document, struct oci_config *out, struct err *err)
{
	static const char *const known[] = {
		"ociVersion", "process", "root", "hostname",    "domainname", "mounts",
		"hooks",      "linux",   "vm",   "annotations", NULL,
	};

	if (parse_version(document, out, err) < 0 || parse_process(document, out, err) < 0 ||
	    parse_root(document, out, err) < 0 || parse_linux(document, out, err) < 0 ||
	    parse_host_names(document, out, err) < 0 || parse_mounts(document, out, err) < 0 ||
	    oci_hooks_parse(document, &out->hooks, err) < 0 ||
	    oci_json_map(document, "annotations", &out->annotations, err) < 0 ||
	    oci_vm_parse(document, &out->vm, err) < 0)
		return -1;
	add_default_mappings(out);
	if (check_whole(document, out, err) < 0)
		return -1;
	oci_json_note_unknown(document, known);
	return 0;
}

static int build(const char *bundle, struct json_object *object, struct oci_config **out, struct err *err)
{
	struct oci_config *config = oci_alloc(1, sizeof *config);
	struct oci_json document = oci_json_document(object);

	config->bundle = oci_strdup(bundle);
	if (parse_document(&document, config, err) < 0) {
		oci_config_destroy(config);
		return -1;
	}
	*out = config;
	return 0;
}

int oci_config_load(const char *path, struct oci_config **out, struct err *err)
{
	auto_free char *file = NULL, *parent = NULL, *bundle = NULL;
	struct json_object *object;
	struct stat st;

	if (stat(path, &st) < 0)
		return err_set_errno(err, "bundle %s", path);
	if (S_ISDIR(st.st_mode)) {
		file = oci_format("%s/config.json", path);
		bundle = realpath(path, NULL);
	} else {
		file = oci_strdup(path);
		parent = oci_strdup(path);
		bundle = realpath(dirname(parent), NULL);
	}
	if (!bundle)
		return err_set_errno(err, "bundle %s", path);
	if (oci_json_read(file, false, &object, err) < 0)
		return -1;
	int result = build(bundle, object, out, err);
	json_object_put(object);
	return result < 0 ? err_wrap(err, "%s", file) : 0;
}

int oci_config_parse(const char *bundle, const char *text, size_t length, struct oci_config **out, struct err *err)
{
	struct json_object *object;

	if (oci_json_parse("config.json", text, length, &object, err) < 0)
		return -1;
	int result = build(bundle, object, out, err);
	json_object_put(object);
	return result;
}

void oci_config_destroy(struct oci_config *config)
{
	if (!config)
		return;
	free(config->bundle);
	free(config->oci_version);
	oci_process_fini(&config->process);
	free(config->root_path);
	free(config->hostname);
	free(config->domainname);
	for (size_t i = 0; i < config->mount_count; i++)
		oci_mount_fini(&config->mounts[i]);
	free(config->mounts);
	oci_hooks_destroy(&config->hooks);
	oci_map_destroy(&config->annotations);
	oci_vm_fini(&config->vm);
	oci_namespaces_destroy(&config->namespaces);
	oci_map_destroy(&config->net_devices);
	oci_id_mappings_destroy(&config->uid_mappings);
	oci_id_mappings_destroy(&config->gid_mappings);
	oci_devices_destroy(&config->devices);
	free(config->cgroups_path);
	oci_resources_fini(&config->resources);
	oci_map_destroy(&config->sysctl);
	oci_seccomp_fini(&config->seccomp);
	oci_strings_destroy(&config->masked_paths);
	oci_strings_destroy(&config->readonly_paths);
	free(config->mount_label);
	free(config);
}
