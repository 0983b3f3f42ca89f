/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/proxy_root.h"

#include "common/auto.h"
#include "common/err.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

int proxy_root_enter(int *root_fd, struct err *err)
{
	/* Private, so that nothing done here is seen on the host. Any directory will do to attach the new root to. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_set_errno(err, "cannot make a mount namespace for the proxy");
	if (move_mount(*root_fd, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH) < 0 || fchdir(*root_fd) < 0)
		return err_set_errno(err, "cannot mount the container's root for the proxy");
	close_fd(root_fd);
	if (syscall(SYS_pivot_root, ".", ".") == 0) {
		/* The old root lies over the new one: with it go all mounts of the host. */
		if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
			return err_set_errno(err, "cannot leave the host's mounts");
		return 0;
	}
	/* A host that runs from its initramfs cannot pivot: there the new root covers the old one. */
	if (errno != EINVAL || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return err_set_errno(err, "cannot make the container's root the proxy's");
	return 0;
}
