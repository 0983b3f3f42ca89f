/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/vm_socket.h"

#include "common/auto.h"
#include "common/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 128, CONNECT_TIMEOUT_S = 10 };

static void set_address(struct sockaddr_un *address, int dirfd, const char *name)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", dirfd, name);
}

int vm_socket_listen(int dirfd, const char *name, int type, struct err *err)
{
	struct sockaddr_un address;
	auto_fd int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_set_errno(err, "cannot make a socket");
	set_address(&address, dirfd, name);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, BACKLOG) < 0)
		return err_set_errno(err, "cannot make the socket %s in the state directory", name);
	return take_fd(&fd);
}

static int connect_to(const struct sockaddr_un *address, const char *name, int type, struct err *err)
{
	struct timeval limit = { .tv_sec = CONNECT_TIMEOUT_S };
	auto_fd int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_set_errno(err, "cannot make a socket");
	/* Bounds connect too, where a full backlog would make it wait. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	if (connect(fd, (const struct sockaddr *)address, sizeof *address) < 0) {
		if (errno == ENOENT || errno == ECONNREFUSED)
			return err_set(err, errno, "the virtual machine is not running");
		return err_set_errno(err, "cannot connect to %s", name);
	}
	return take_fd(&fd);
}

int vm_socket_connect(int dirfd, const char *name, int type, struct err *err)
{
	struct sockaddr_un address;

	set_address(&address, dirfd, name);
	return connect_to(&address, name, type, err);
}

int vm_socket_connect_beneath(int dirfd, const char *name, int type, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	auto_fd int before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", name);
	if (before < 0 || fchdir(dirfd) < 0)
		return err_set_errno(err, "cannot enter the state directory");
	auto_fd int fd = connect_to(&address, name, type, err);
	if (fchdir(before) < 0)
		return err_set_errno(err, "cannot leave the state directory");
	return take_fd(&fd);
}

int vm_socket_bind(int dirfd, const char *name, struct err *err)
{
	struct sockaddr_un address;
	auto_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	set_address(&address, dirfd, name);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
		return err_set_errno(err, "cannot make the socket %s in the state directory", name);
	return take_fd(&fd);
}

int vm_socket_poke(int dirfd, const char *name, struct err *err)
{
	auto_fd int fd = vm_socket_connect(dirfd, name, SOCK_DGRAM, err);

	if (fd < 0)
		return -1;
	/* One that waits there already says the same. */
	if (send(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN)
		return err_set_errno(err, "cannot tell the proxy");
	return 0;
}
