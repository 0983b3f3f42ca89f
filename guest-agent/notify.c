/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/notify.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/loop.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Below PIPE_BUF, so that a message is in the pipe whole or not at all. */
enum { MESSAGE_MAX = PIPE_BUF - 1, MESSAGES_PER_TURN = 32, MESSAGES_AT_END = 1024 };

struct notify {
	struct loop *loop;
	struct loop_watch *watch;
	int socket_fd, pipe_fd;
	char path[sizeof((struct sockaddr_un *)0)->sun_path];
};

/* False: nothing was there. */
static bool pass_one(struct notify *notify)
{
	char text[MESSAGE_MAX + 1];
	ssize_t n = recv(notify->socket_fd, text, MESSAGE_MAX, MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0)
		return false;
	if (n == 0 || n > MESSAGE_MAX)
		return true;
	if (text[n - 1] != '\n')
		text[n++] = '\n';
	if (write(notify->pipe_fd, text, (size_t)n) < 0)
		return true; /* lost: see the header */
	return true;
}

static void readable(void *arg, uint32_t events)
{
	(void)events;
	for (unsigned i = 0; i < MESSAGES_PER_TURN && pass_one(arg); i++)
		;
}

static int open_socket(struct notify *notify, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memcpy(address.sun_path, notify->path, sizeof address.sun_path);
	notify->socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (notify->socket_fd < 0 || bind(notify->socket_fd, (struct sockaddr *)&address, sizeof address) < 0) {
		notify->path[0] = '\0';
		return err_set_errno(err, "making the socket for sd_notify");
	}
	return chmod(notify->path, 0666) < 0 ? err_set_errno(err, "%s", notify->path) : 0;
}

struct notify *notify_create(struct loop *loop, const char *path, int *pipe_fd, struct err *err)
{
	struct notify *notify = calloc(1, sizeof *notify);
	int ends[2];

	if (!notify) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	notify->loop = loop;
	notify->socket_fd = notify->pipe_fd = -1;
	if ((size_t)snprintf(notify->path, sizeof notify->path, "%s", path) >= sizeof notify->path) {
		notify->path[0] = '\0';
		err_set(err, ENAMETOOLONG, "the socket for sd_notify");
		goto failed;
	}
	if (open_socket(notify, err) < 0)
		goto failed;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
		err_set_errno(err, "the pipe for sd_notify");
		goto failed;
	}
	notify->pipe_fd = ends[1];
	notify->watch = loop_add_fd(loop, notify->socket_fd, EPOLLIN, readable, notify);
	if (!notify->watch) {
		close(ends[0]);
		err_set_errno(err, "watching the socket for sd_notify");
		goto failed;
	}
	*pipe_fd = ends[0];
	return notify;

failed:
	notify_destroy(notify);
	return NULL;
}

void notify_finish(struct notify *notify)
{
	for (unsigned i = 0; i < MESSAGES_AT_END && notify->socket_fd >= 0 && pass_one(notify); i++)
		;
	loop_remove(notify->loop, notify->watch);
	notify->watch = NULL;
	close_fd(&notify->socket_fd);
	close_fd(&notify->pipe_fd);
}

void notify_destroy(struct notify *notify)
{
	if (!notify)
		return;
	loop_remove(notify->loop, notify->watch);
	close_fd(&notify->socket_fd);
	close_fd(&notify->pipe_fd);
	if (notify->path[0])
		unlink(notify->path);
	free(notify);
}
