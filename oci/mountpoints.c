/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/mountpoints.h"

#include "oci/alloc.h"
#include "oci/describe.h"

#include "common/auto.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The image wrote the tree: its symlinks must not lead this process out of it. */
static int open_inside(int root, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

static bool make_entry(int parent, const char *name, bool is_file)
{
	if (!is_file)
		return mkdirat(parent, name, 0755) == 0 || errno == EEXIST;
	auto_fd int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	return fd >= 0 || errno == EEXIST;
}

enum { LINKS_MAX = 40 };

static bool make_path(int root, const char *path, bool is_file, unsigned links);

/*
 * `name` in `parent` is a symlink that leads to nothing yet: what it names is made, and then the rest. `before` is the
 * path up to the name, `rest` what follows it.
 */
static bool make_behind_link(int root, const char *target, const char *before, size_t before_length, const char *rest,
			     bool is_file, unsigned links)
{
	auto_free char *path = *target == '/' ? oci_format("%s%s", target, rest)
					      : oci_format("%.*s%s%s", (int)before_length, before, target, rest);

	if (links < LINKS_MAX)
		return make_path(root, path, is_file, links + 1);
	errno = ELOOP;
	return false;
}

/* Like mkdir -p; the last component is a file if asked for. */
static bool make_path(int root, const char *path, bool is_file, unsigned links)
{
	auto_free char *copy = oci_strdup(path);
	auto_fd int parent = open_inside(root, "/");
	char target[PATH_MAX];

	for (char *name = copy; parent >= 0;) {
		name += strspn(name, "/");
		if (!*name)
			return true;
		size_t length = strcspn(name, "/");
		bool last = name[length + strspn(name + length, "/")] == '\0';
		char end = name[length];

		/* From the root each time, so that ".." and symlinks mean what they will mean in the container. */
		name[length] = '\0';
		int fd = open_inside(root, copy);
		if (fd < 0 && errno == ENOENT) {
			ssize_t n = readlinkat(parent, name, target, sizeof target - 1);

			if (n >= 0) {
				target[n] = '\0';
				name[length] = end;
				return make_behind_link(root, target, copy, (size_t)(name - copy), name + length,
							is_file, links);
			}
			errno = ENOENT;
			if (make_entry(parent, name, is_file && last))
				fd = open_inside(root, copy);
		}
		name[length] = end;
		close_fd(&parent);
		parent = fd;
		name += length;
	}
	return false;
}

static bool is_below(const char *path, const char *directory)
{
	size_t length = strlen(directory);

	while (length > 0 && directory[length - 1] == '/')
		length--;
	return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* The last of the first `before` mounts that the path is below; NULL: it is in the root. */
static const agent_Mount *find_cover(const char *path, const agent_Container *container, size_t before)
{
	while (before-- > 0)
		if (is_below(path, container->mounts[before].destination))
			return &container->mounts[before];
	return NULL;
}

/* Below an earlier mount it is that mount's business. */
static bool is_covered(const char *path, const agent_Container *container, size_t before)
{
	return find_cover(path, container, before);
}

static void make_one(int root, const char *path, bool is_file)
{
	if (!make_path(root, path, is_file, 0))
		log_debug("mount point %s: %s", path, strerror(errno));
}

/* As runc has it: an existing directory keeps its mode, a new one leaves the tmpfs its own, open to all. */
static void open_up_tmpfs(int root, agent_Mount *mount)
{
	char *data;

	if (!mount->type || strcmp(mount->type, "tmpfs") != 0)
		return;
	auto_fd int fd = open_inside(root, mount->destination);
	if (fd >= 0 || errno != ENOENT)
		return;
	/* First, so that a mode among the options counts. */
	data = oci_format("mode=1777%s%s", mount->data && *mount->data ? "," : "", mount->data ? mount->data : "");
	free(mount->data);
	mount->data = data;
}

void oci_mountpoints_open_tmpfs(const char *root, agent_CreateRequest *request)
{
	agent_Container *container = &request->container;
	auto_fd int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; fd >= 0 && i < container->mounts_count; i++)
		if (!is_covered(container->mounts[i].destination, container, i))
			open_up_tmpfs(fd, &container->mounts[i]);
}

void oci_mountpoints_make(const char *root, const agent_CreateRequest *request)
{
	const agent_Container *container = &request->container;
	auto_fd int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	for (size_t i = 0; i < container->mounts_count; i++)
		if (!is_covered(container->mounts[i].destination, container, i))
			make_one(fd, container->mounts[i].destination, container->mounts[i].source_is_file);
	/* Where nodes are bound that the guest cannot make there. */
	for (size_t i = 0; i < container->devices_count; i++)
		if (!is_covered(container->devices[i].path, container, container->mounts_count))
			make_one(fd, container->devices[i].path, true);
	if (!is_covered(request->process.cwd, container, container->mounts_count))
		make_one(fd, request->process.cwd, false);
}

/* NULL: no folder of the host's that may be written to. */
static const struct oci_share *share_of(const struct oci_shares *shares, const agent_Mount *mount)
{
	for (size_t i = 0; mount && mount->share && i < shares->count; i++) {
		const struct oci_share *share = &shares->items[i];

		if (strcmp(share->name, mount->source) == 0)
			return share->is_file || share->readonly ? NULL : share;
	}
	return mount ? NULL : &shares->items[0];
}

void oci_mountpoints_make_again(const struct oci_shares *shares, const agent_CreateRequest *request)
{
	const agent_Container *container = &request->container;

	for (size_t i = 0; i < container->mounts_count; i++) {
		const agent_Mount *mount = &container->mounts[i];
		const agent_Mount *cover = find_cover(mount->destination, container, i);
		const struct oci_share *share = share_of(shares, cover);
		auto_fd int fd = share && share->path ? open(share->path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

		if (fd >= 0)
			make_one(fd, mount->destination + (cover ? strlen(cover->destination) : 0),
				 mount->source_is_file);
	}
}
