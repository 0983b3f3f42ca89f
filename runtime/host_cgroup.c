/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host_cgroup.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include "oci/strings.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOUNT HOST_CGROUP_MOUNT

enum host_cgroup_version host_cgroup_version(void)
{
	struct statfs fs;

	if (statfs(MOUNT, &fs) < 0)
		return HOST_CGROUP_NONE;
	if (fs.f_type == CGROUP2_SUPER_MAGIC)
		return HOST_CGROUP_V2;
	return fs.f_type == TMPFS_MAGIC ? HOST_CGROUP_V1 : HOST_CGROUP_NONE;
}

/* Our own cgroup, as /proc/self/cgroup has it in its v2 line, "0::/PATH". */
static int read_own(char out[PATH_MAX], struct err *err)
{
	auto_file FILE *file = fopen("/proc/self/cgroup", "re");
	char line[PATH_MAX + 8];

	while (file && fgets(line, sizeof line, file)) {
		if (strncmp(line, "0::/", 4) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		if ((size_t)snprintf(out, PATH_MAX, "%s", line + 3) >= PATH_MAX)
			break;
		return 0;
	}
	return err_set(err, ENOENT, "/proc/self/cgroup: no cgroup v2 line");
}

int host_cgroup_open_own(struct err *err)
{
	char own[PATH_MAX], full[PATH_MAX + sizeof MOUNT];

	if (read_own(own, err) < 0)
		return -1;
	snprintf(full, sizeof full, MOUNT "%s", own);
	int fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 ? fd : err_set_errno(err, "host cgroup %s", full);
}

/* "a-b.slice" is /a.slice/a-b.slice: each dash is a level (systemd.slice(5)). */
static int expand_slice(const char *slice, char out[PATH_MAX], struct err *err)
{
	size_t length = strlen(slice), used = 0;

	out[0] = '\0';
	if (strcmp(slice, "-.slice") == 0)
		return 0;
	if (length < 7 || length > 255 || strcmp(slice + length - 6, ".slice") != 0 || strchr(slice, '/') ||
	    slice[0] == '-')
		return err_set(err, EINVAL, "linux.cgroupsPath: \"%s\" is not the name of a slice", slice);
	length -= 6;
	for (size_t i = 1; i <= length; i++) {
		if (i != length && slice[i] != '-')
			continue;
		int n = snprintf(out + used, PATH_MAX - used, "/%.*s.slice", (int)i, slice);
		if ((size_t)n >= PATH_MAX - used)
			return err_set(err, ENAMETOOLONG, "linux.cgroupsPath: too long");
		used += (size_t)n;
	}
	return 0;
}

static char *systemd_path(const char *cgroups_path, const char *id, struct err *err)
{
	char text[512], parent[PATH_MAX], *result;
	const char *slice = "system.slice", *prefix = "bulkhead", *name = id;

	if (cgroups_path && *cgroups_path) {
		if ((size_t)snprintf(text, sizeof text, "%s", cgroups_path) >= sizeof text) {
			err_set(err, ENAMETOOLONG, "linux.cgroupsPath: too long");
			return NULL;
		}
		char *first = strchr(text, ':'), *second = first ? strchr(first + 1, ':') : NULL;
		if (!second || strchr(second + 1, ':') || strchr(text, '/')) {
			err_set(err, EINVAL,
				"linux.cgroupsPath: \"%s\" is not SLICE:PREFIX:NAME, as --systemd-cgroup expects it",
				cgroups_path);
			return NULL;
		}
		*first = *second = '\0';
		if (*text)
			slice = text;
		prefix = first + 1;
		name = second + 1;
	}
	if (expand_slice(slice, parent, err) < 0)
		return NULL;
	/* A name that is a slice of its own is no scope. */
	bool is_slice = strlen(name) > 6 && strcmp(name + strlen(name) - 6, ".slice") == 0;
	int n = is_slice ? asprintf(&result, "%s/%s", parent, name)
			 : asprintf(&result, "%s/%s%s%s.scope", parent, prefix, *prefix ? "-" : "", name);
	if (n < 0) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	return result;
}

char *host_cgroup_path(const char *cgroups_path, const char *id, bool systemd, struct err *err)
{
	char own[PATH_MAX], *result;
	int n;

	if (systemd)
		return systemd_path(cgroups_path, id, err);
	if (!cgroups_path || !*cgroups_path)
		cgroups_path = id;
	if (strstr(cgroups_path, "..")) {
		err_set(err, EINVAL, "linux.cgroupsPath: \"%s\" leads outside", cgroups_path);
		return NULL;
	}
	if (cgroups_path[0] == '/') {
		n = asprintf(&result, "%s", cgroups_path);
	} else {
		/* Relative: beside our own cgroup, not below it, since one with processes cannot give controllers on.
		 */
		if (read_own(own, err) < 0)
			return NULL;
		*strrchr(own, '/') = '\0';
		n = asprintf(&result, "%s/%s", own, cgroups_path);
	}
	if (n < 0) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	return result;
}

static int open_path(const char *path, struct err *err)
{
	char full[PATH_MAX];

	snprintf(full, sizeof full, MOUNT "%s", path);
	int fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 ? fd : err_set_errno(err, "host cgroup %s", full);
}

static int write_file(int dirfd, const char *name, const char *value)
{
	auto_fd int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	return write(fd, value, strlen(value)) < 0 ? -1 : 0;
}

static int read_list(int dirfd, const char *name, char text[256])
{
	auto_fd int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, 255);

	if (n < 0)
		return -1;
	text[n] = '\0';
	return 0;
}

/* Gives every controller the directory has to its children; one by one, since one that can't must not stop the rest. */
static void enable_controllers(int dirfd)
{
	char text[256], given[256], change[64], *rest, *name;

	/* All but the first container in a directory find it done. */
	if (read_list(dirfd, "cgroup.controllers", text) < 0 ||
	    (read_list(dirfd, "cgroup.subtree_control", given) == 0 && strcmp(text, given) == 0))
		return;
	for (name = strtok_r(text, " \n", &rest); name; name = strtok_r(NULL, " \n", &rest)) {
		snprintf(change, sizeof change, "+%s", name);
		if (write_file(dirfd, "cgroup.subtree_control", change) < 0)
			log_debug("host cgroup: cannot give controller %s on: %s", name, strerror(errno));
	}
}

static int write_files(int dirfd, const char *path, const struct oci_map *files, struct err *err)
{
	for (size_t i = 0; files && i < files->count; i++) {
		const struct oci_pair *file = &files->items[i];

		if (write_file(dirfd, file->key, file->value) == 0)
			continue;
		if (errno == ENOENT || errno == EACCES) {
			log_debug("host cgroup %s: no %s here", path, file->key);
			continue;
		}
		return err_set(err, errno, "host cgroup %s: cannot set %s to %s: %s", path, file->key, file->value,
			       strerror(errno));
	}
	return 0;
}

/* The sub-cgroup is the container's to name: it must not lead out of it. */
static int open_below(int dirfd, const char *sub)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};

	return (int)syscall(SYS_openat2, dirfd, sub + strspn(sub, "/"), &how, sizeof how);
}

int host_cgroup_open(const char *path, const char *sub, bool *has_sub, struct err *err)
{
	auto_fd int dir = open_path(path, err);

	if (dir < 0)
		return -1;
	auto_fd int below = sub ? open_below(dir, sub) : -1;
	*has_sub = below >= 0;
	if (below >= 0) {
		close(dir);
		dir = take_fd(&below);
	}
	int fd = openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	return fd >= 0 ? fd : err_set_errno(err, "host cgroup %s: cgroup.procs", path);
}

/* If cgroup.events has the line, such as "populated 1". */
static bool has_event(int dirfd, const char *line)
{
	char text[256];
	auto_fd int fd = openat(dirfd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	if (n < 0)
		return false;
	text[n] = '\0';
	return strstr(text, line) != NULL;
}

int host_cgroup_check_free(const char *path, struct err *err)
{
	char full[PATH_MAX];

	snprintf(full, sizeof full, MOUNT "%s", path);
	auto_fd int dir = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0 && has_event(dir, "populated 1"))
		return err_set(err, EBUSY, "container's cgroup is not empty: %s", path);
	/* Its proxy would stop before it could say anything. */
	if (dir >= 0 && has_event(dir, "frozen 1"))
		return err_set(err, EBUSY, "container's cgroup unexpectedly frozen: %s; write 0 to its cgroup.freeze",
			       path);
	return 0;
}

int host_cgroup_create(const char *path, const struct oci_map *files, struct err *err)
{
	auto_fd int dir = open(MOUNT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_free char *copy = strdup(path);
	char *rest, *name;

	if (dir < 0 || !copy)
		return err_set_errno(err, "host cgroup");
	for (name = strtok_r(copy, "/", &rest); name; name = strtok_r(NULL, "/", &rest)) {
		enable_controllers(dir);
		if (mkdirat(dir, name, 0755) < 0 && errno != EEXIST)
			return err_set_errno(err, "host cgroup %s: cannot make %s", path, name);
		int next = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (next < 0)
			return err_set_errno(err, "host cgroup %s: %s", path, name);
		close(dir);
		dir = next;
	}
	if (write_files(dir, path, files, err) < 0)
		return -1;
	int fd = openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	return fd >= 0 ? fd : err_set_errno(err, "host cgroup %s: cgroup.procs", path);
}

int host_cgroup_write(const char *path, const struct oci_map *files, struct err *err)
{
	auto_fd int dir = open_path(path, err);

	return dir < 0 ? -1 : write_files(dir, path, files, err);
}

int host_cgroup_read(const char *path, const char *file, char *text, size_t size)
{
	char full[PATH_MAX];

	snprintf(full, sizeof full, MOUNT "%s/%s", path, file);
	auto_fd int fd = open(full, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
	if (n < 0)
		return -1;
	text[n] = '\0';
	return 0;
}
