/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/devices.h"

#include "common/auto.h"
#include "common/bulkhead_uapi.h"
#include "guest-agent/device_nodes.h"
#include "guest-agent/errtext.h"
#include "guest-agent/kernel.h"
#include "guest-agent/paths.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* OCI runtime specification, config-linux.md, "Default Devices" and runtime-linux.md, "Dev symbolic links". */
#define DEFAULT(name, number_major, number_minor)                                                                \
	{                                                                                                        \
		.path = (char *)(name), .mode = S_IFCHR | 0666, .major = (number_major), .minor = (number_minor) \
	}

static const agent_Device default_devices[] = {
	DEFAULT("/dev/null", 1, 3),
	DEFAULT("/dev/zero", 1, 5),
	DEFAULT("/dev/full", 1, 7),
	DEFAULT("/dev/random", 1, 8),
	DEFAULT("/dev/urandom", 1, 9),
	DEFAULT("/dev/tty", 5, 0),
	/* Ours: tells a program that it is a copy. */
	{ .path = (char *)BULKHEAD_GENERATION_DEVICE,
	  .mode = S_IFCHR | 0444,
	  .major = BULKHEAD_GENERATION_MAJOR,
	  .minor = BULKHEAD_GENERATION_MINOR },
};

static const struct {
	const char *path, *target;
} default_links[] = {
	{ "/dev/fd", "/proc/self/fd" },       { "/dev/stdin", "/proc/self/fd/0" }, { "/dev/stdout", "/proc/self/fd/1" },
	{ "/dev/stderr", "/proc/self/fd/2" }, { "/dev/core", "/proc/kcore" },      { "/dev/ptmx", "pts/ptmx" },
};

/* A node of the guest's, of the same number, bound to an empty file. */
static int bind_device(int dir, const char *name, const char *source, const agent_Device *device)
{
	struct stat status;
	auto_fd int tree = kernel_open_tree(AT_FDCWD, source, KERNEL_OPEN_TREE_CLONE | KERNEL_OPEN_TREE_CLOEXEC);

	if (tree < 0 || fstat(tree, &status) < 0)
		return -1;
	if ((status.st_mode & S_IFMT) != (device->mode & S_IFMT) ||
	    status.st_rdev != makedev(device->major, device->minor)) {
		errno = ENODEV;
		return -1;
	}
	auto_fd int made = openat(dir, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0666);
	auto_fd int target = made < 0 && errno != EEXIST ? -1 : openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0)
		return -1;
	return kernel_move_mount(tree, "", target, "", KERNEL_MOVE_F_EMPTY_PATH | KERNEL_MOVE_T_EMPTY_PATH);
}

/* An empty file is what the host puts there for a read-only root. */
static bool is_place(const struct stat *status)
{
	return S_ISREG(status->st_mode) && status->st_size == 0;
}

static int make_device(const struct rootfs *rootfs, const agent_Device *device, const char *source, struct err *err)
{
	char name[NAME_MAX + 1];
	const char *path = message_text(device->path);
	mode_t mode = (mode_t)device->mode;
	auto_fd int dir = path_make_parent(rootfs->root_fd, path, name);

	if (dir < 0)
		return errtext_set(err, "creating device %s", path);
	/* One that is there is as good if it is the same. */
	struct stat status;
	if (fstatat(dir, name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
		if ((status.st_mode & S_IFMT) == (mode & S_IFMT) &&
		    (S_ISFIFO(mode) || status.st_rdev == makedev(device->major, device->minor)))
			return 0;
		if (!is_place(&status) || bind_device(dir, name, source, device) < 0)
			return err_set(err, EEXIST, "creating device %s: something else is there", path);
		return 0;
	}
	if (mknodat(dir, name, mode, S_ISFIFO(mode) ? 0 : makedev(device->major, device->minor)) < 0) {
		if (errno != EPERM || bind_device(dir, name, source, device) < 0)
			return errtext_set(err, "creating device %s", path);
		return 0;
	}
	/* The umask is not in the way (launch.c sets it to 0). We made it, so it is no link. */
	if (fchownat(dir, name, device->uid, device->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return errtext_set(err, "giving device %s to %u:%u", path, device->uid, device->gid);
	return 0;
}

static int make_link(const struct rootfs *rootfs, const char *path, const char *target, struct err *err)
{
	char name[NAME_MAX + 1];
	auto_fd int dir = path_make_parent(rootfs->root_fd, path, name);

	if (dir < 0 || (symlinkat(target, dir, name) < 0 && errno != EEXIST))
		return errtext_set(err, "creating link %s", path);
	return 0;
}

int devices_make_defaults(const struct rootfs *rootfs, struct err *err)
{
	for (size_t i = 0; i < sizeof default_devices / sizeof *default_devices; i++) {
		/* Of a kernel without our module there is nothing to learn. */
		if (strcmp(default_devices[i].path, BULKHEAD_GENERATION_DEVICE) == 0 &&
		    access(BULKHEAD_GENERATION_DEVICE, F_OK) < 0)
			continue;
		if (make_device(rootfs, &default_devices[i], default_devices[i].path, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < sizeof default_links / sizeof *default_links; i++) {
		/* The guest's kernel may have been built without it. */
		if (strcmp(default_links[i].target, "/proc/kcore") == 0 &&
		    faccessat(rootfs->proc_fd, "kcore", F_OK, 0) < 0)
			continue;
		if (make_link(rootfs, default_links[i].path, default_links[i].target, err) < 0)
			return -1;
	}
	return 0;
}

int devices_make(const struct rootfs *rootfs, const agent_Container *container, const char *id, struct err *err)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < container->devices_count; i++) {
		device_nodes_path(id, i, path);
		if (make_device(rootfs, &container->devices[i], path, err) < 0)
			return -1;
	}
	return 0;
}
