/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/terminal.h"

#include "common/auto.h"
#include "guest-agent/errtext.h"
#include "guest-agent/kernel.h"
#include "guest-agent/paths.h"

#include <limits.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>

static bool is_ptmx(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(5, 2);
}

static int open_ptmx(int root_fd, struct err *err)
{
	/* The second is what very old images have instead of a link. O_NONBLOCK: whatever it is, don't wait for it. */
	static const char *const names[] = { "/dev/pts/ptmx", "/dev/ptmx" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		auto_fd int fd = path_open(root_fd, names[i], O_RDWR | O_NOCTTY | O_NONBLOCK);

		if (fd >= 0 && is_ptmx(fd))
			return take_fd(&fd);
	}
	return err_set(err, ENOENT, "terminal: the container has no devpts at /dev/pts");
}

static int clear_onlcr(int slave, struct err *err)
{
	struct termios mode;

	if (tcgetattr(slave, &mode) < 0)
		return errtext_set(err, "terminal: reading its mode");
	mode.c_oflag &= ~(tcflag_t)ONLCR;
	if (tcsetattr(slave, TCSANOW, &mode) < 0)
		return errtext_set(err, "terminal: setting its mode");
	return 0;
}

int terminal_create(int root_fd, const agent_Process *process, struct terminal *terminal, struct err *err)
{
	struct winsize size = { .ws_row = (unsigned short)process->rows, .ws_col = (unsigned short)process->columns };
	auto_fd int master = open_ptmx(root_fd, err);
	int unlock = 0;

	*terminal = (struct terminal){ .master = -1, .slave = -1 };
	if (master < 0)
		return -1;
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return errtext_set(err, "terminal: unlocking the pty");
	auto_fd int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return errtext_set(err, "terminal: opening the pty");
	/* The group is devpts's business (gid=5, mode=620). An id without a mapping keeps root as owner. */
	if (fchown(slave, process->uid, (gid_t)-1) < 0 && errno != EINVAL && errno != EPERM)
		return errtext_set(err, "terminal: giving the pty to user %u", process->uid);
	if ((size.ws_row || size.ws_col) && ioctl(slave, TIOCSWINSZ, &size) < 0)
		return errtext_set(err, "terminal: setting its size");
	if (process->plain_newlines && clear_onlcr(slave, err) < 0)
		return -1;
	*terminal = (struct terminal){ .master = take_fd(&master), .slave = take_fd(&slave) };
	return 0;
}

int terminal_mount_console(int root_fd, int slave, struct err *err)
{
	char name[NAME_MAX + 1];
	struct stat status;
	auto_fd int dev = path_make_parent(root_fd, "/dev/console", name);

	if (dev < 0)
		return errtext_set(err, "terminal: /dev/console");
	auto_fd int made = openat(dev, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0600);
	if (made < 0 && errno != EEXIST)
		return errtext_set(err, "terminal: creating /dev/console");
	auto_fd int target = openat(dev, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0 || fstat(target, &status) < 0)
		return errtext_set(err, "terminal: /dev/console");
	if (S_ISLNK(status.st_mode) || S_ISDIR(status.st_mode))
		return err_set(err, EINVAL, "terminal: /dev/console in the image is neither a device nor a file");
	auto_fd int tree =
		kernel_open_tree(slave, "", KERNEL_AT_EMPTY_PATH | KERNEL_OPEN_TREE_CLONE | KERNEL_OPEN_TREE_CLOEXEC);
	if (tree < 0 ||
	    kernel_move_mount(tree, "", target, "", KERNEL_MOVE_F_EMPTY_PATH | KERNEL_MOVE_T_EMPTY_PATH) < 0)
		return errtext_set(err, "terminal: mounting the pty at /dev/console");
	return 0;
}

int terminal_take(int slave, struct err *err)
{
	if (ioctl(slave, TIOCSCTTY, 0) < 0)
		return errtext_set(err, "terminal: making it the controlling one");
	for (int fd = 0; fd <= 2; fd++) {
		if (dup2(slave, fd) < 0)
			return errtext_set(err, "terminal: standard streams");
	}
	return 0;
}
