/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/masks.h"

#include "common/auto.h"
#include "guest-agent/errtext.h"
#include "guest-agent/kernel.h"
#include "guest-agent/paths.h"

#include <sys/stat.h>

/* One read-only tmpfs without room for anything serves all masked directories. */
static int empty_directory(void)
{
	auto_fd int fs = kernel_fsopen("tmpfs");

	if (fs < 0 || kernel_fsconfig(fs, KERNEL_FSCONFIG_SET_STRING, "nr_inodes", "1") < 0 ||
	    kernel_fsconfig(fs, KERNEL_FSCONFIG_SET_STRING, "mode", "0755") < 0 ||
	    kernel_fsconfig(fs, KERNEL_FSCONFIG_SET_FLAG, "ro", NULL) < 0 ||
	    kernel_fsconfig(fs, KERNEL_FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
		return -1;
	return kernel_fsmount(fs, (unsigned)(KERNEL_MOUNT_ATTR_RDONLY | KERNEL_MOUNT_ATTR_NOSUID |
					     KERNEL_MOUNT_ATTR_NODEV | KERNEL_MOUNT_ATTR_NOEXEC));
}

static int cover(int with_fd, int target)
{
	auto_fd int tree =
		kernel_open_tree(with_fd, "", KERNEL_AT_EMPTY_PATH | KERNEL_OPEN_TREE_CLONE | KERNEL_OPEN_TREE_CLOEXEC);

	if (tree < 0)
		return -1;
	return kernel_move_mount(tree, "", target, "", KERNEL_MOVE_F_EMPTY_PATH | KERNEL_MOVE_T_EMPTY_PATH);
}

static int mask(const struct rootfs *rootfs, const char *path, int *empty_fd)
{
	struct stat status;
	auto_fd int target = path_open(rootfs->root_fd, path, O_PATH);

	if (target < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	if (fstat(target, &status) < 0)
		return -1;
	if (!S_ISDIR(status.st_mode))
		return cover(rootfs->null_fd, target);
	/* The first covers with the mount itself, the others with clones of it. */
	if (*empty_fd >= 0)
		return cover(*empty_fd, target);
	*empty_fd = empty_directory();
	if (*empty_fd < 0)
		return -1;
	return kernel_move_mount(*empty_fd, "", target, "", KERNEL_MOVE_F_EMPTY_PATH | KERNEL_MOVE_T_EMPTY_PATH);
}

static int make_read_only(const struct rootfs *rootfs, const char *path)
{
	struct kernel_mount_attr attr = { .attr_set = KERNEL_MOUNT_ATTR_RDONLY };
	auto_fd int target = path_open(rootfs->root_fd, path, O_PATH);

	if (target < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	auto_fd int tree = kernel_open_tree(target, "",
					    KERNEL_AT_EMPTY_PATH | KERNEL_OPEN_TREE_CLONE | KERNEL_OPEN_TREE_CLOEXEC |
						    KERNEL_AT_RECURSIVE);
	if (tree < 0 || kernel_mount_setattr(tree, "", KERNEL_AT_EMPTY_PATH, &attr) < 0)
		return -1;
	return kernel_move_mount(tree, "", target, "", KERNEL_MOVE_F_EMPTY_PATH | KERNEL_MOVE_T_EMPTY_PATH);
}

int masks_apply(const struct rootfs *rootfs, const agent_Container *container, struct err *err)
{
	auto_fd int empty_fd = -1;

	for (size_t i = 0; i < container->readonly_paths_count; i++) {
		if (make_read_only(rootfs, container->readonly_paths[i]) < 0)
			return errtext_set(err, "making path %s read-only", container->readonly_paths[i]);
	}
	for (size_t i = 0; i < container->masked_paths_count; i++) {
		if (mask(rootfs, container->masked_paths[i], &empty_fd) < 0)
			return errtext_set(err, "masking path %s", container->masked_paths[i]);
	}
	return 0;
}
