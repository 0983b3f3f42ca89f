/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/store.h"

#include "oci/alloc.h"
#include "oci/json.h"

#include "common/auto.h"
#include "common/err.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_string(struct json_object *object, const char *key, const char *value)
{
	if (value)
		json_object_object_add(object, key, json_object_new_string(value));
}

static void add_int(struct json_object *object, const char *key, int64_t value)
{
	json_object_object_add(object, key, json_object_new_int64(value));
}

static void add_bool(struct json_object *object, const char *key, bool value)
{
	json_object_object_add(object, key, json_object_new_boolean(value));
}

static void add_map(struct json_object *object, const char *key, const struct oci_map *map)
{
	struct json_object *members = json_object_new_object();

	for (size_t i = 0; i < map->count; i++)
		add_string(members, map->items[i].key, map->items[i].value);
	json_object_object_add(object, key, members);
}

static struct json_object *to_json(const struct oci_store *store)
{
	struct json_object *object = json_object_new_object();

	add_int(object, "version", OCI_STORE_VERSION);
	add_string(object, "id", store->id);
	add_string(object, "bundle", store->bundle);
	add_string(object, "rootfs", store->rootfs);
	add_string(object, "owner", store->owner);
	add_int(object, "createdNs", store->created_ns);
	add_int(object, "pid", store->pid);
	json_object_object_add(object, "pidStart", json_object_new_uint64(store->pid_start));
	add_int(object, "vmmPid", store->vmm_pid);
	json_object_object_add(object, "vmmPidStart", json_object_new_uint64(store->vmm_pid_start));
	add_bool(object, "created", store->is_created);
	add_bool(object, "started", store->is_started);
	add_bool(object, "paused", store->is_paused);
	add_string(object, "cgroupPath", store->cgroup_path);
	add_string(object, "sandbox", store->sandbox);
	add_string(object, "shares", store->shares);
	add_map(object, "annotations", &store->annotations);
	json_object_object_add(object, "poststop", oci_hook_list_to_json(&store->poststop));
	add_map(object, "extra", &store->extra);
	return object;
}

static int write_all(int fd, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, text, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		text += n;
		length -= (size_t)n;
	}
	return 0;
}

int oci_store_write(int dirfd, const char *file, const struct oci_store *store, struct err *err)
{
	auto_free char *temporary = oci_format(".%s.%ld", file, (long)getpid());
	struct json_object *object = to_json(store);
	size_t length;
	const char *text = json_object_to_json_string_length(
		object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &length);
	int result = 0;

	auto_fd int fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || write_all(fd, text, length) < 0 || renameat(dirfd, temporary, dirfd, file) < 0) {
		result = err_set_errno(err, "state file %s", file);
		if (fd >= 0)
			unlinkat(dirfd, temporary, 0);
	}
	json_object_put(object);
	return result;
}

/* pids are positive; 0 says that there is none. */
static int parse_pid(const struct oci_json *at, const char *key, pid_t *out, struct err *err)
{
	int64_t value = 0;
	int found = oci_json_int(at, key, 0, INT_MAX, &value, err);

	*out = (pid_t)value;
	return found;
}

static int parse_document(const struct oci_json *at, struct oci_store *out, struct err *err)
{
	static const char *const known[] = {
		"version",  "id",     "bundle",      "rootfs",   "owner",   "createdNs", "pid",
		"pidStart", "vmmPid", "vmmPidStart", "created",  "started", "paused",    "cgroupPath",
		"sandbox",  "shares", "annotations", "poststop", "extra",   NULL,
	};
	uint64_t version;

	if (oci_json_need_uint(at, "version", UINT64_MAX, &version, err) < 0)
		return -1;
	if (version == 0 || version > OCI_STORE_VERSION)
		return err_set(err, EPROTO,
			       "written in version %" PRIu64 ", this bulkhead understands up to %d: use the newer one",
			       version, OCI_STORE_VERSION);
	if (oci_json_need_string(at, "id", &out->id, err) < 0 || oci_id_check(out->id, err) < 0 ||
	    oci_json_need_path(at, "bundle", &out->bundle, err) < 0 ||
	    oci_json_string(at, "rootfs", &out->rootfs, err) < 0 ||
	    oci_json_string(at, "owner", &out->owner, err) < 0 ||
	    oci_json_int(at, "createdNs", INT64_MIN, INT64_MAX, &out->created_ns, err) < 0 ||
	    parse_pid(at, "pid", &out->pid, err) < 0 ||
	    oci_json_uint(at, "pidStart", UINT64_MAX, &out->pid_start, err) < 0 ||
	    parse_pid(at, "vmmPid", &out->vmm_pid, err) < 0 ||
	    oci_json_uint(at, "vmmPidStart", UINT64_MAX, &out->vmm_pid_start, err) < 0 ||
	    oci_json_bool(at, "created", &out->is_created, err) < 0 ||
	    oci_json_bool(at, "started", &out->is_started, err) < 0 ||
	    oci_json_bool(at, "paused", &out->is_paused, err) < 0 ||
	    oci_json_string(at, "cgroupPath", &out->cgroup_path, err) < 0 ||
	    oci_json_string(at, "sandbox", &out->sandbox, err) < 0 ||
	    (out->sandbox && oci_id_check(out->sandbox, err) < 0) ||
	    oci_json_string(at, "shares", &out->shares, err) < 0 ||
	    oci_json_map(at, "annotations", &out->annotations, err) < 0 ||
	    oci_hook_list_parse(at, "poststop", &out->poststop, err) < 0 ||
	    oci_json_map(at, "extra", &out->extra, err) < 0)
		return -1;
	oci_json_note_unknown(at, known);
	return 0;
}

static int from_json(const char *name, struct json_object *object, struct oci_store **out, struct err *err)
{
	struct oci_store *store = oci_alloc(1, sizeof *store);
	struct oci_json document = oci_json_document(object);

	if (parse_document(&document, store, err) < 0) {
		oci_store_destroy(store);
		return err_wrap(err, "state file %s", name);
	}
	*out = store;
	return 0;
}

int oci_store_read(int dirfd, const char *file, struct oci_store **out, struct err *err)
{
	auto_fd int fd = openat(dirfd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct json_object *object;

	if (fd < 0)
		return err_set_errno(err, "state file %s", file);
	if (oci_json_read_fd(file, fd, &object, err) < 0)
		return err_wrap(err, "state file");
	int result = from_json(file, object, out, err);
	json_object_put(object);
	return result;
}

int oci_store_parse(const char *name, const char *text, size_t length, struct oci_store **out, struct err *err)
{
	struct json_object *object;

	if (oci_json_parse(name, text, length, &object, err) < 0)
		return err_wrap(err, "state file");
	int result = from_json(name, object, out, err);
	json_object_put(object);
	return result;
}

void oci_store_destroy(struct oci_store *store)
{
	if (!store)
		return;
	free(store->id);
	free(store->bundle);
	free(store->rootfs);
	free(store->owner);
	free(store->cgroup_path);
	free(store->sandbox);
	free(store->shares);
	oci_map_destroy(&store->annotations);
	oci_hook_list_destroy(&store->poststop);
	oci_map_destroy(&store->extra);
	free(store);
}

enum oci_status oci_store_status(const struct oci_store *store, bool pid_is_alive)
{
	/* Before the end of create there may be no proxy yet. Afterwards, without one there is no container. */
	if (store->is_created && !pid_is_alive)
		return OCI_STATUS_STOPPED;
	if (!store->is_created)
		return store->pid == 0 || pid_is_alive ? OCI_STATUS_CREATING : OCI_STATUS_STOPPED;
	if (store->is_paused)
		return OCI_STATUS_PAUSED;
	return store->is_started ? OCI_STATUS_RUNNING : OCI_STATUS_CREATED;
}

struct oci_state oci_store_state(const struct oci_store *store, bool pid_is_alive)
{
	return (struct oci_state){
		.id = store->id,
		.status = oci_store_status(store, pid_is_alive),
		.pid = store->pid,
		.bundle = store->bundle,
		.rootfs = store->rootfs,
		.created_ns = store->created_ns,
		.owner = store->owner,
		.annotations = &store->annotations,
	};
}

uint64_t oci_pid_start(pid_t pid)
{
	char path[64], line[1024], state;
	unsigned long long start;

	snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (pid <= 0 || fd < 0)
		return 0;
	ssize_t n = read(fd, line, sizeof line - 1);
	if (n <= 0)
		return 0;
	line[n] = '\0';
	/* The name may hold anything, parentheses and spaces too: count from the last one. */
	const char *rest = strrchr(line, ')');
	if (!rest ||
	    sscanf(rest + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", &state,
		   &start) != 2)
		return 0;
	return state == 'Z' || state == 'X' ? 0 : start;
}
