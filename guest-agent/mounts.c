/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/mounts.h"

#include "common/auto.h"
#include "guest-agent/copyup.h"
#include "guest-agent/errtext.h"
#include "guest-agent/kernel.h"
#include "guest-agent/paths.h"

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

#define FD_PATH_MAX 32
#define PROPAGATION_FLAGS ((uint64_t)(MS_PRIVATE | MS_SLAVE | MS_SHARED | MS_UNBINDABLE))
/* What mount(2) takes with a new file system. */
#define FILESYSTEM_FLAGS (~(PROPAGATION_FLAGS | (uint64_t)(MS_BIND | MS_REC | MS_REMOUNT | MS_MOVE)))

static const struct {
	uint64_t flag, attribute;
} flag_attributes[] = {
	{ MS_RDONLY, KERNEL_MOUNT_ATTR_RDONLY },         { MS_NOSUID, KERNEL_MOUNT_ATTR_NOSUID },
	{ MS_NODEV, KERNEL_MOUNT_ATTR_NODEV },           { MS_NOEXEC, KERNEL_MOUNT_ATTR_NOEXEC },
	{ MS_NODIRATIME, KERNEL_MOUNT_ATTR_NODIRATIME }, { MS_NOSYMFOLLOW, KERNEL_MOUNT_ATTR_NOSYMFOLLOW },
};

void mounts_attributes(uint64_t flags_set, uint64_t flags_cleared, uint64_t *attr_set, uint64_t *attr_clear)
{
	*attr_set = *attr_clear = 0;
	for (size_t i = 0; i < sizeof flag_attributes / sizeof *flag_attributes; i++) {
		if (flags_set & flag_attributes[i].flag)
			*attr_set |= flag_attributes[i].attribute;
		else if (flags_cleared & flag_attributes[i].flag)
			*attr_clear |= flag_attributes[i].attribute;
	}
	/* The three ways of access times are one field: it is cleared before it is set; relatime is its zero. */
	if ((flags_set | flags_cleared) & (MS_NOATIME | MS_RELATIME | MS_STRICTATIME))
		*attr_clear |= KERNEL_MOUNT_ATTR_ATIME;
	if (flags_set & MS_NOATIME)
		*attr_set |= KERNEL_MOUNT_ATTR_NOATIME;
	else if (flags_set & MS_STRICTATIME)
		*attr_set |= KERNEL_MOUNT_ATTR_STRICTATIME;
}

/* mount(2) wants a path: this one leads to the very file the descriptor stands for. */
static const char *fd_path(int fd, char out[FD_PATH_MAX])
{
	snprintf(out, FD_PATH_MAX, "/proc/self/fd/%d", fd);
	return out;
}

static int set_attributes(int fd, uint64_t attr_set, uint64_t attr_clear, unsigned flags)
{
	struct kernel_mount_attr attr = { .attr_set = attr_set, .attr_clr = attr_clear };

	if (!attr_set && !attr_clear)
		return 0;
	return kernel_mount_setattr(fd, "", KERNEL_AT_EMPTY_PATH | flags, &attr);
}

/* What a mount gets when it is in its place: attributes for all of its tree, and how it propagates. */
static int finish(int fd, const agent_Mount *mount, struct err *err)
{
	struct kernel_mount_attr attr = { .propagation = mount->propagation & PROPAGATION_FLAGS };

	if (set_attributes(fd, mount->attr_set, mount->attr_clear, KERNEL_AT_RECURSIVE) < 0)
		return errtext_set(err, "setting recursive options");
	if (attr.propagation &&
	    kernel_mount_setattr(fd, "", KERNEL_AT_EMPTY_PATH | (mount->propagation & MS_REC ? KERNEL_AT_RECURSIVE : 0),
				 &attr) < 0)
		return errtext_set(err, "setting propagation");
	return 0;
}

static int clone_source(const struct rootfs *rootfs, const agent_Mount *mount)
{
	unsigned flags =
		KERNEL_OPEN_TREE_CLONE | KERNEL_OPEN_TREE_CLOEXEC | (mount->flags & MS_REC ? KERNEL_AT_RECURSIVE : 0);

	/* A share's name is one component (requests_check.c); a share that is itself a link is not followed. */
	if (mount->share)
		return kernel_open_tree(rootfs->shares_fd, mount->source, flags | AT_SYMLINK_NOFOLLOW);
	if (mount->common)
		return kernel_open_tree(rootfs->common_fd, mount->source, flags | AT_SYMLINK_NOFOLLOW);
	return kernel_open_tree(AT_FDCWD, mount->source, flags);
}

/*
 * How access times are kept cannot be changed in a user namespace. It is of no effect here: they are the host's to
 * keep, as its mount has it.
 */
static int set_bind_attributes(int tree, const agent_Mount *mount)
{
	const uint64_t times = MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME;
	uint64_t attr_set, attr_clear;

	mounts_attributes(mount->flags, mount->flags_clear, &attr_set, &attr_clear);
	int result = set_attributes(tree, attr_set, attr_clear, 0);
	if (result == 0 || errno != EPERM || !((mount->flags | mount->flags_clear) & times))
		return result;
	mounts_attributes(mount->flags & ~times, mount->flags_clear & ~times, &attr_set, &attr_clear);
	return set_attributes(tree, attr_set, attr_clear, 0);
}

static bool is_same_kind(const struct stat *source, int target)
{
	struct stat status;

	return fstat(target, &status) == 0 && S_ISDIR(source->st_mode) == S_ISDIR(status.st_mode);
}

static int bind(const struct rootfs *rootfs, const agent_Mount *mount, const char *destination, struct err *err)
{
	struct stat status;
	auto_fd int tree = clone_source(rootfs, mount);

	if (tree < 0 || fstat(tree, &status) < 0)
		return errtext_set(err, "source \"%s\"", mount->source);
	if (set_bind_attributes(tree, mount) < 0)
		return errtext_set(err, "setting options");
	auto_fd int target = path_make(rootfs->root_fd, destination, S_ISDIR(status.st_mode));
	if (target < 0)
		return errtext_set(err, "creating mountpoint");
	if (!is_same_kind(&status, target)) {
		/* In the words of mount(2), which engines know; move_mount(2) has others. */
		errno = ENOTDIR;
		return errtext_set(err, "bind mount");
	}
	if (kernel_move_mount(tree, "", target, "", KERNEL_MOVE_F_EMPTY_PATH | KERNEL_MOVE_T_EMPTY_PATH) < 0)
		return errtext_set(err, "bind mount");
	return finish(tree, mount, err);
}

/* Options of a mount that is there: the flags are the whole new set. */
static int remount(const struct rootfs *rootfs, const agent_Mount *entry, const char *destination, struct err *err)
{
	char path[FD_PATH_MAX];
	auto_fd int fd = path_open(rootfs->root_fd, destination, O_PATH);

	if (fd < 0)
		return errtext_set(err, "mountpoint");
	if (mount(NULL, fd_path(fd, path), NULL, entry->flags & ~PROPAGATION_FLAGS & ~(uint64_t)MS_REC,
		  message_text(entry->data)) < 0)
		return errtext_set(err, "remount");
	return finish(fd, entry, err);
}

static bool is_bind(const agent_Mount *mount)
{
	return mount->flags & MS_BIND || strcmp(message_text(mount->type), "bind") == 0;
}

static bool is_type(const agent_Mount *mount, const char *type)
{
	return strcmp(message_text(mount->type), type) == 0;
}

static bool is_dev(const char *destination)
{
	return strcmp(destination, "/dev") == 0 || strcmp(destination, "/dev/") == 0;
}

static bool is_made_read_only_late(const agent_Mount *mount)
{
	return mount->flags & MS_RDONLY && !(mount->flags & MS_REMOUNT) && !is_bind(mount) &&
	       (is_type(mount, "tmpfs") || is_dev(message_text(mount->destination)));
}

bool mounts_have_own_dev(const agent_Container *container)
{
	bool own = false;

	for (size_t i = 0; i < container->mounts_count; i++) {
		if (is_dev(message_text(container->mounts[i].destination)))
			own = !is_bind(&container->mounts[i]);
	}
	return own;
}

/*
 * Where a kernel file system goes. procfs and sysfs are what the container's isolation is checked against, so a link at
 * their place in the image is refused instead of followed.
 */
static int make_target(const struct rootfs *rootfs, const agent_Mount *mount, const char *destination, struct err *err)
{
	if (is_type(mount, "proc") || is_type(mount, "sysfs")) {
		struct kernel_open_how how = {
			.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
			.resolve = KERNEL_RESOLVE_IN_ROOT | KERNEL_RESOLVE_NO_SYMLINKS,
		};
		int fd = kernel_openat2(rootfs->root_fd, destination, &how);

		if (fd >= 0)
			return fd;
		if (errno == ELOOP || errno == ENOTDIR)
			return err_set(err, errno, "filesystem \"%s\" must be mounted on ordinary directory",
				       mount->type);
	}
	int fd = path_make(rootfs->root_fd, destination, true);
	if (fd < 0)
		return errtext_set(err, "creating mountpoint");
	return fd;
}

/* A tmpfs has the mode of the directory it covers, unless an option says otherwise. */
static char *tmpfs_data(int target, const char *data)
{
	struct stat status;
	char *out;

	if (fstat(target, &status) < 0 ||
	    asprintf(&out, "mode=%04o%s%s", status.st_mode & 07777, data[0] ? "," : "", data) < 0)
		return NULL;
	return out;
}

/*
 * sysfs can be mounted by who owns the network namespace only, and the cgroup tree by who owns the cgroup namespace. A
 * container in a user namespace that does not have one of its own gets the guest's, recursively.
 */
static int bind_guests_own(const char *path, int target, const agent_Mount *mount)
{
	uint64_t attr_set, attr_clear;
	auto_fd int tree = kernel_open_tree(AT_FDCWD, path,
					    KERNEL_OPEN_TREE_CLONE | KERNEL_OPEN_TREE_CLOEXEC | KERNEL_AT_RECURSIVE);

	mounts_attributes(mount->flags, 0, &attr_set, &attr_clear);
	if (tree < 0 || set_attributes(tree, attr_set, 0, KERNEL_AT_RECURSIVE) < 0)
		return -1;
	return kernel_move_mount(tree, "", target, "", KERNEL_MOVE_F_EMPTY_PATH | KERNEL_MOVE_T_EMPTY_PATH);
}

/*
 * mount(2) refuses a file system over itself, which is what happens where /sys had to be the guest's own, with the
 * guest's cgroup tree in it. Made apart and then moved, the container's view covers the guest's.
 */
static int mount_cgroup_apart(int target, const agent_Mount *mount)
{
	uint64_t attr_set, attr_clear;
	auto_fd int fs = kernel_fsopen("cgroup2");

	mounts_attributes(mount->flags, 0, &attr_set, &attr_clear);
	if (fs < 0 || kernel_fsconfig(fs, KERNEL_FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
		return -1;
	auto_fd int tree = kernel_fsmount(fs, (unsigned)attr_set);
	if (tree < 0)
		return -1;
	return kernel_move_mount(tree, "", target, "", KERNEL_MOVE_F_EMPTY_PATH | KERNEL_MOVE_T_EMPTY_PATH);
}

static int mount_at(int target, const agent_Mount *entry)
{
	char path[FD_PATH_MAX];
	uint64_t flags = entry->flags & FILESYSTEM_FLAGS;
	auto_free char *data = strdup(message_text(entry->data));
	const char *source = entry->source && entry->source[0] ? entry->source : "none";
	const char *type = entry->type;

	if (is_type(entry, "tmpfs")) {
		free(data);
		data = tmpfs_data(target, message_text(entry->data));
	}
	if (!data) {
		errno = ENOMEM;
		return -1;
	}
	if (is_made_read_only_late(entry))
		flags &= ~(uint64_t)MS_RDONLY;
	/* There is no v1 hierarchy in the guest; the options of one mean nothing to v2. */
	if (strcmp(type, "cgroup") == 0) {
		type = "cgroup2";
		data[0] = '\0';
	}
	if (mount(source, fd_path(target, path), type, flags, data) == 0)
		return 0;
	if (errno == EPERM && strcmp(type, "sysfs") == 0)
		return bind_guests_own("/sys", target, entry);
	if (errno == EBUSY && strcmp(type, "cgroup2") == 0)
		return mount_cgroup_apart(target, entry);
	if (errno == EPERM && strcmp(type, "cgroup2") == 0)
		return bind_guests_own("/sys/fs/cgroup", target, entry);
	return -1;
}

static bool is_root(const char *path)
{
	return path[strspn(path, "/")] == '\0';
}

/*
 * What is at that place now. Over the root itself that is found from the folder it is in: `root_fd` is of the mount
 * below. O_PATH; -1 with errno.
 */
static int open_mounted(const struct rootfs *rootfs, const char *destination)
{
	if (!is_root(destination))
		return path_open(rootfs->root_fd, destination, O_PATH);
	auto_fd int folder = openat(rootfs->root_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

	return folder < 0 ? -1 : openat(folder, ROOTFS_NAME, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* From now on everything is found in what was mounted over the root. */
static int enter_new_root(struct rootfs *rootfs, struct err *err)
{
	int fd = open_mounted(rootfs, "/");

	if (fd < 0)
		return errtext_set(err, "the root filesystem");
	close_fd(&rootfs->root_fd);
	rootfs->root_fd = fd;
	return 0;
}

static int mount_filesystem(const struct rootfs *rootfs, const agent_Mount *entry, const char *destination,
			    struct err *err)
{
	auto_fd int target = make_target(rootfs, entry, destination, err);
	auto_fd int covered = -1;

	if (target < 0)
		return -1;
	if (entry->copy_up) {
		covered = openat(target, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (covered < 0)
			return errtext_set(err, "tmpcopyup");
	}
	if (mount_at(target, entry) < 0)
		return errtext_set(err, "mount %s", entry->type);
	auto_fd int mounted = open_mounted(rootfs, destination);
	if (mounted < 0)
		return errtext_set(err, "mountpoint");
	if (covered >= 0 && copyup_directory(covered, mounted, err) < 0)
		return err_wrap(err, "tmpcopyup");
	return finish(mounted, entry, err);
}

int mounts_apply(struct rootfs *rootfs, const agent_Container *container, struct err *err)
{
	for (size_t i = 0; i < container->mounts_count; i++) {
		const agent_Mount *entry = &container->mounts[i];
		const char *destination = message_text(entry->destination);
		int ret = entry->flags & MS_REMOUNT ? remount(rootfs, entry, destination, err)
			  : is_bind(entry)          ? bind(rootfs, entry, destination, err)
						    : mount_filesystem(rootfs, entry, destination, err);

		if (ret == 0 && is_root(destination) && !(entry->flags & MS_REMOUNT))
			ret = enter_new_root(rootfs, err);
		if (ret < 0)
			return err_wrap(err, "error mounting \"%s\" to rootfs at \"%s\"", message_text(entry->source),
					destination);
	}
	return 0;
}

int mounts_make_read_only(const struct rootfs *rootfs, const agent_Container *container, struct err *err)
{
	for (size_t i = 0; i < container->mounts_count; i++) {
		const agent_Mount *mount = &container->mounts[i];

		if (!is_made_read_only_late(mount))
			continue;
		auto_fd int fd = path_open(rootfs->root_fd, mount->destination, O_PATH);
		if (fd < 0 || set_attributes(fd, KERNEL_MOUNT_ATTR_RDONLY, 0, 0) < 0)
			return errtext_set(err, "making the mount at \"%s\" read-only", mount->destination);
	}
	return 0;
}
