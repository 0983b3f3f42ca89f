/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/rootfs.h"

#include "common/auto.h"
#include "guest-agent/errtext.h"
#include "guest-agent/kernel.h"

#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#define PROCFS_MAGIC 0x9fa0

static int open_null(struct err *err)
{
	auto_fd int fd = open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return errtext_set(err, "the guest's /dev/null");
	if (!S_ISCHR(status.st_mode) || status.st_rdev != makedev(1, 3))
		return err_set(err, ENODEV, "the guest's /dev/null is not the null device");
	return take_fd(&fd);
}

static int open_proc(struct err *err)
{
	auto_fd int fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs status;

	if (fd < 0 || fstatfs(fd, &status) < 0)
		return errtext_set(err, "the guest's /proc");
	if (status.f_type != PROCFS_MAGIC)
		return err_set(err, ENODEV, "the guest's /proc is not procfs");
	return take_fd(&fd);
}

static int mount_share(const struct rootfs *rootfs, const char *name, const char *target, struct err *err)
{
	auto_fd int tree = kernel_open_tree(rootfs->shares_fd, name,
					    KERNEL_OPEN_TREE_CLONE | KERNEL_OPEN_TREE_CLOEXEC | KERNEL_AT_RECURSIVE |
						    AT_SYMLINK_NOFOLLOW);

	if (tree < 0 || kernel_move_mount(tree, "", AT_FDCWD, target, KERNEL_MOVE_F_EMPTY_PATH) < 0)
		return errtext_set(err, "mounting share %s as the root filesystem", name);
	return 0;
}

/* The share below, a tmpfs above: what is written is gone with the container. */
static int mount_overlay(const char *run_dir, const char *share, const char *target, bool in_user_namespace,
			 struct err *err)
{
	char layer[PATH_MAX / 2], path[PATH_MAX], options[4 * PATH_MAX];

	snprintf(layer, sizeof layer, "%s/overlay", run_dir);
	if (mount("tmpfs", layer, "tmpfs", 0, "mode=0755") < 0)
		return errtext_set(err, "mounting the writable layer of the root filesystem");
	snprintf(path, sizeof path, "%s/upper", layer);
	if (mkdir(path, 0755) < 0)
		return errtext_set(err, "making the writable layer of the root filesystem");
	snprintf(path, sizeof path, "%s/work", layer);
	if (mkdir(path, 0755) < 0)
		return errtext_set(err, "making the writable layer of the root filesystem");
	/* "/.": a share is a mount that appears when something in it is looked up. */
	snprintf(options, sizeof options, "lowerdir=%s/shares/%s/.,upperdir=%s/upper,workdir=%s/work%s", run_dir, share,
		 layer, layer, in_user_namespace ? ",userxattr" : "");
	if (mount("overlay", target, "overlay", 0, options) < 0)
		return errtext_set(err, "mounting the root filesystem with a writable layer over share %s", share);
	return 0;
}

int rootfs_mount(struct rootfs *rootfs, const char *run_dir, const agent_Container *container, struct err *err)
{
	char path[PATH_MAX];
	const char *share = message_text(container->root_share);

	*rootfs = (struct rootfs)ROOTFS_EMPTY;
	/* What we mount from here on is nobody else's. pivot_root refuses shared mounts, too. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return errtext_set(err, "making the guest's mounts private");
	snprintf(path, sizeof path, "%s/shares", run_dir);
	rootfs->shares_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rootfs->shares_fd < 0)
		return errtext_set(err, "the folder of shares");
	snprintf(path, sizeof path, "%s/common", run_dir);
	rootfs->common_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rootfs->common_fd < 0)
		return errtext_set(err, "the folder of what containers have in common");
	rootfs->proc_fd = open_proc(err);
	if (rootfs->proc_fd < 0)
		return -1;
	rootfs->null_fd = open_null(err);
	if (rootfs->null_fd < 0)
		return -1;

	snprintf(path, sizeof path, "%s/" ROOTFS_NAME, run_dir);
	if (container->root_overlay) {
		if (mount_overlay(run_dir, share, path, container->uid_mappings_count > 0, err) < 0)
			return -1;
	} else if (mount_share(rootfs, share, path, err) < 0) {
		return -1;
	}
	rootfs->root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rootfs->root_fd < 0)
		return errtext_set(err, "the root filesystem");
	return 0;
}

int rootfs_enter(struct rootfs *rootfs, const agent_Container *container, struct err *err)
{
	struct kernel_mount_attr read_only = { .attr_set = KERNEL_MOUNT_ATTR_RDONLY };
	struct kernel_mount_attr propagation = { .propagation = container->root_propagation & ~(uint64_t)MS_REC };

	if (container->root_readonly && kernel_mount_setattr(rootfs->root_fd, "", KERNEL_AT_EMPTY_PATH, &read_only) < 0)
		return errtext_set(err, "making the root filesystem read-only");
	/* The old root ends up over the new one, at the same place, and is taken away from there (pivot_root(2)). */
	if (fchdir(rootfs->root_fd) < 0 || kernel_pivot_root(".", ".") < 0)
		return errtext_set(err, "pivot_root");
	close_fd(&rootfs->root_fd);
	close_fd(&rootfs->shares_fd);
	close_fd(&rootfs->common_fd);
	close_fd(&rootfs->proc_fd);
	close_fd(&rootfs->null_fd);
	if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return errtext_set(err, "leaving the guest's root");
	if (propagation.propagation &&
	    kernel_mount_setattr(AT_FDCWD, "/", container->root_propagation & MS_REC ? KERNEL_AT_RECURSIVE : 0,
				 &propagation) < 0)
		return errtext_set(err, "setting the propagation of the root filesystem");
	return 0;
}
