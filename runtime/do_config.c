/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/do_config.h"

#include "common/err.h"

#include "oci/capabilities.h"
#include "oci/features.h"
#include "oci/vm_size.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a distribution mounts at boot; everything else is the host's root. /run and /tmp hold the host's own business.
 */
static const struct {
	const char *destination, *type, *source, *options;
} mounts[] = {
	{ "/proc", "proc", "proc", "nosuid,noexec,nodev" },
	{ "/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro" },
	{ "/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime" },
	{ "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k" },
	{ "/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5" },
	{ "/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777" },
	{ "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev" },
	{ "/run", "tmpfs", "tmpfs", "nosuid,nodev,mode=755" },
};

static const char *const namespaces[] = { "pid", "network", "ipc", "uts", "mount", "cgroup" };

static struct json_object *string(const char *text)
{
	return json_object_new_string(text);
}

static struct json_object *split(const char *options)
{
	struct json_object *array = json_object_new_array();

	while (*options) {
		size_t length = strcspn(options, ",");

		json_object_array_add(array, json_object_new_string_len(options, (int)length));
		options += length + (options[length] == ',');
	}
	return array;
}

static void add_readonly(struct json_object *array, const char *path)
{
	struct json_object *mount = json_object_new_object();

	json_object_object_add(mount, "destination", string(path));
	json_object_object_add(mount, "type", string("bind"));
	json_object_object_add(mount, "source", string(path));
	json_object_object_add(mount, "options", split("rbind,ro"));
	json_object_array_add(array, mount);
}

/* True if `path` is `directory` or below it. */
static bool is_below(const char *path, const char *directory)
{
	size_t length = strlen(directory);

	return strncmp(path, directory, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/*
 * The writable layer lies over the root's own file system only. Other disks, and the directory we are in if it is
 * somewhere else again (a tmpfs), are shown read-only.
 */
static void add_other_disks(struct json_object *array, const char *cwd)
{
	FILE *table = setmntent("/proc/self/mounts", "re");
	struct stat root, here;
	struct mntent *entry;
	bool covered = stat("/", &root) < 0 || stat(cwd, &here) < 0 || root.st_dev == here.st_dev;

	while (table && (entry = getmntent(table))) {
		struct stat st;

		if (strncmp(entry->mnt_fsname, "/dev/", 5) != 0 || strcmp(entry->mnt_dir, "/") == 0)
			continue;
		if (stat(entry->mnt_dir, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_dev == root.st_dev)
			continue;
		add_readonly(array, entry->mnt_dir);
		covered |= is_below(cwd, entry->mnt_dir);
	}
	if (table)
		endmntent(table);
	if (!covered)
		add_readonly(array, cwd);
}

static struct json_object *mounts_json(const char *cwd)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < sizeof mounts / sizeof mounts[0]; i++) {
		struct json_object *mount = json_object_new_object();

		json_object_object_add(mount, "destination", string(mounts[i].destination));
		json_object_object_add(mount, "type", string(mounts[i].type));
		json_object_object_add(mount, "source", string(mounts[i].source));
		json_object_object_add(mount, "options", split(mounts[i].options));
		json_object_array_add(array, mount);
	}
	add_other_disks(array, cwd);
	return array;
}

static struct json_object *capabilities_json(void)
{
	static const char *const sets[] = { "bounding", "effective", "permitted" };
	struct json_object *object = json_object_new_object();

	for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
		struct json_object *set = json_object_new_array();

		for (unsigned number = 0; number < OCI_CAPABILITY_COUNT; number++)
			json_object_array_add(set, string(oci_capability_name(number)));
		json_object_object_add(object, sets[i], set);
	}
	return object;
}

static struct json_object *process_json(const struct do_settings *settings, const char *cwd)
{
	struct json_object *process = json_object_new_object(), *args = json_object_new_array(),
			   *env = json_object_new_array(), *user = json_object_new_object();

	for (int i = 0; i < settings->arg_count; i++)
		json_object_array_add(args, string(settings->args[i]));
	for (char **item = environ; *item; item++)
		json_object_array_add(env, string(*item));
	json_object_object_add(user, "uid", json_object_new_int(0));
	json_object_object_add(user, "gid", json_object_new_int(0));
	json_object_object_add(process, "terminal", json_object_new_boolean(settings->terminal));
	json_object_object_add(process, "user", user);
	json_object_object_add(process, "args", args);
	json_object_object_add(process, "env", env);
	json_object_object_add(process, "cwd", string(cwd));
	json_object_object_add(process, "capabilities", capabilities_json());
	return process;
}

static struct json_object *linux_json(void)
{
	struct json_object *object = json_object_new_object(), *array = json_object_new_array();

	for (size_t i = 0; i < sizeof namespaces / sizeof namespaces[0]; i++) {
		struct json_object *item = json_object_new_object();

		json_object_object_add(item, "type", string(namespaces[i]));
		json_object_array_add(array, item);
	}
	json_object_object_add(object, "namespaces", array);
	return object;
}

static struct json_object *annotations_json(const struct do_settings *settings)
{
	struct json_object *annotations = json_object_new_object();

	if (settings->memory_mib)
		json_object_object_add(annotations, OCI_ANNOTATION_MEMORY, string(settings->memory_mib));
	if (settings->vcpus)
		json_object_object_add(annotations, OCI_ANNOTATION_VCPUS, string(settings->vcpus));
	return annotations;
}

char *do_config_text(const struct do_settings *settings, struct err *err)
{
	char cwd[PATH_MAX], host[65] = "bulkhead";

	if (!getcwd(cwd, sizeof cwd)) {
		err_set_errno(err, "the current directory");
		return NULL;
	}
	gethostname(host, sizeof host - 1);
	struct json_object *config = json_object_new_object(), *root = json_object_new_object();
	json_object_object_add(root, "path", string("/"));
	json_object_object_add(root, "readonly", json_object_new_boolean(false));
	json_object_object_add(config, "ociVersion", string(OCI_VERSION_MAX));
	json_object_object_add(config, "process", process_json(settings, cwd));
	json_object_object_add(config, "root", root);
	json_object_object_add(config, "hostname", string(host));
	json_object_object_add(config, "mounts", mounts_json(cwd));
	json_object_object_add(config, "annotations", annotations_json(settings));
	json_object_object_add(config, "linux", linux_json());
	char *text = strdup(json_object_to_json_string_ext(config, JSON_C_TO_STRING_PLAIN));
	json_object_put(config);
	if (!text)
		err_set(err, ENOMEM, "out of memory");
	return text;
}
