/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/terminal.h"

#include "common/auto.h"
#include "common/err.h"

#include "oci/process.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

int terminal_open(struct terminal *terminal, struct err *err)
{
	struct termios mode;
	int unlocked = 0, number;

	terminal->slave = -1;
	terminal->master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (terminal->master < 0)
		return err_set_errno(err, "/dev/ptmx: cannot make a terminal");
	if (ioctl(terminal->master, TIOCSPTLCK, &unlocked) < 0 || ioctl(terminal->master, TIOCGPTN, &number) < 0)
		return err_set_errno(err, "cannot make a terminal");
	/* By the master, not by name: /dev/pts may be another instance than /dev/ptmx. */
	terminal->slave = ioctl(terminal->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (terminal->slave < 0)
		return err_set_errno(err, "cannot open the terminal");
	snprintf(terminal->name, sizeof terminal->name, "/dev/pts/%d", number);
	if (tcgetattr(terminal->slave, &mode) < 0)
		return err_set_errno(err, "%s", terminal->name);
	cfmakeraw(&mode);
	if (tcsetattr(terminal->slave, TCSANOW, &mode) < 0)
		return err_set_errno(err, "%s", terminal->name);
	return 0;
}

void terminal_close(struct terminal *terminal)
{
	close_fd(&terminal->master);
	close_fd(&terminal->slave);
}

/* Paths longer than an address are reached through their directory. */
static int connect_path(const char *path, const char *option, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	auto_fd int directory = -1;

	if (fd < 0)
		return err_set_errno(err, "cannot make a socket");
	if (strlen(path) < sizeof address.sun_path) {
		memcpy(address.sun_path, path, strlen(path));
	} else {
		const char *slash = strrchr(path, '/');
		auto_free char *parent = slash ? strndup(path, (size_t)(slash - path)) : NULL;

		directory = parent ? open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
		if (directory < 0 || strlen(slash + 1) > 64)
			return err_set(err, ENAMETOOLONG, "%s: %s: no such path for a socket", option, path);
		snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%.64s", directory, slash + 1);
	}
	if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		return err_set_errno(err, "%s: cannot connect to %s", option, path);
	return take_fd(&fd);
}

int terminal_send_fd(int fd, const char *payload, const char *path, const char *option, struct err *err)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(size_t)payload, .iov_len = strlen(payload) };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof control.space,
	};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
	auto_fd int socket_fd = connect_path(path, option, err);

	if (socket_fd < 0)
		return -1;
	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(rights), &fd, sizeof fd);
	if (sendmsg(socket_fd, &message, MSG_NOSIGNAL) != (ssize_t)iov.iov_len)
		return err_set_errno(err, "%s: cannot send to %s", option, path);
	return 0;
}

int terminal_send(const struct terminal *terminal, const char *path, struct err *err)
{
	return terminal_send_fd(terminal->master, terminal->name, path, "--console-socket", err);
}

bool terminal_get_size(int fd, struct winsize *size)
{
	return ioctl(fd, TIOCGWINSZ, size) == 0 && size->ws_row > 0 && size->ws_col > 0;
}

void terminal_follow_user(struct oci_process *process)
{
	struct winsize size;

	if (process->terminal && !process->rows && terminal_get_size(STDIN_FILENO, &size)) {
		process->rows = size.ws_row;
		process->columns = size.ws_col;
	}
	process->plain_newlines = process->terminal && !isatty(STDOUT_FILENO);
}

void terminal_set_size(int fd, unsigned rows, unsigned columns)
{
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };

	ioctl(fd, TIOCSWINSZ, &size);
}

static struct {
	int fd;
	struct termios mode;
} user = { .fd = -1 };

int terminal_make_user_raw(int fd)
{
	struct termios raw;

	if (tcgetattr(fd, &user.mode) < 0)
		return -1;
	user.fd = fd;
	atexit(terminal_restore_user);
	raw = user.mode;
	cfmakeraw(&raw);
	return tcsetattr(fd, TCSADRAIN, &raw);
}

void terminal_restore_user(void)
{
	if (user.fd >= 0)
		tcsetattr(user.fd, TCSADRAIN, &user.mode);
	user.fd = -1;
}
