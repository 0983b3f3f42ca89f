/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/control.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { CLIENTS_MAX = 16, FDS_MAX = 4, REQUEST_FDS = 2 };

struct client {
	struct control *control;
	int fd; /* -1: a free place */
	struct loop_watch *watch;
};

struct control {
	struct loop *loop;
	const struct control_ops *ops;
	void *arg;
	int listen_fd;
	struct loop_watch *watch;
	struct client clients[CLIENTS_MAX];
};

/* --- one request ------------------------------------------------------------------------------------------- */

static int add_disk(struct control *control, const struct vmm_control_request *request, int *fd,
		    struct vmm_place *place, struct err *err)
{
	struct vmm_disk disk = vmm_disk_unpack(request->arg);

	if (*fd < 0)
		return err_set(err, EBADF, "a disk needs a descriptor");
	if (!*request->name || strlen(request->name) > VMM_DISK_ID_MAX)
		return err_set(err, EINVAL, "the name of a disk is of 1 to %d bytes", VMM_DISK_ID_MAX);
	if (disk.block_log < 9 || disk.block_log > 16 || disk.sectors >> 54)
		return err_set(err, EINVAL, "disk %s: of an impossible size", request->name);
	return control->ops->add_disk(control->arg, request->name, &disk, take_fd(fd), place, err);
}

/* Descriptors that did not come are -1; what is not taken of them the caller closes. */
static int handle(struct control *control, const struct vmm_control_request *request, int fds[REQUEST_FDS],
		  struct vmm_control_reply *reply, struct err *err)
{
	const struct control_ops *ops = control->ops;

	if (request->reserved)
		return err_set(err, EINVAL, "reserved bits are set in the request");
	switch (request->op) {
	case VMM_CONTROL_PAUSE:
		return ops->pause(control->arg, err);
	case VMM_CONTROL_RESUME:
		return ops->resume(control->arg, err);
	case VMM_CONTROL_STATS:
		ops->stats(control->arg, &reply->stats, &reply->details);
		return 0;
	case VMM_CONTROL_ADD_SHARE:
		if (fds[0] < 0)
			return err_set(err, EBADF, "a share needs a descriptor");
		if (request->arg & ~1ull)
			return err_set(err, EINVAL, "unknown flags for a share");
		return ops->add_share(control->arg, request->name, take_fd(&fds[0]), request->arg & 1, err);
	case VMM_CONTROL_REMOVE_SHARE:
		return ops->remove_share(control->arg, request->name, err);
	case VMM_CONTROL_ADD_NET:
		if (fds[0] < 0)
			return err_set(err, EBADF, "a network interface needs a descriptor");
		return ops->add_net(control->arg, request->name, request->arg, request->mac, &fds[0], &fds[1],
				    &reply->place, err);
	case VMM_CONTROL_FIND_NET:
		return ops->find_net(control->arg, request->arg, &reply->place, err);
	case VMM_CONTROL_REMOVE_NET:
		return ops->remove_net(control->arg, request->arg, err);
	case VMM_CONTROL_ADD_DISK:
		return add_disk(control, request, &fds[0], &reply->place, err);
	case VMM_CONTROL_FIND_DISK:
		return ops->find_disk(control->arg, request->name, &reply->place, err);
	case VMM_CONTROL_REMOVE_DISK:
		return ops->remove_disk(control->arg, request->name, err);
	case VMM_CONTROL_RESIZE:
		return ops->resize(control->arg, request->arg, &reply->place, &reply->growth, err);
	case VMM_CONTROL_CHECKPOINT:
		if (fds[0] < 0 || fds[1] < 0)
			return err_set(err, EBADF, "a checkpoint needs two descriptors");
		return ops->checkpoint(control->arg, fds[0], fds[1], err);
	case VMM_CONTROL_KILL:
		return ops->kill(control->arg, err);
	}
	return err_set(err, ENOTSUP, "operation %u is unknown to this monitor", request->op);
}

/*
 * Receives one packet and its first descriptors; further ones are closed. Returns its length as sent, which may be more
 * than was received, 0 at the end, -1 with errno.
 */
static ssize_t receive(int socket, struct vmm_control_request *request, int fds[REQUEST_FDS])
{
	struct iovec data = { .iov_base = request, .iov_len = sizeof *request };
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(FDS_MAX * sizeof(int))];
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space
	};
	unsigned count = 0;
	ssize_t length = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_TRUNC);

	if (length < 0)
		return -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
			int received;

			memcpy(&received, CMSG_DATA(c) + at, sizeof received);
			if (count < REQUEST_FDS)
				fds[count++] = received;
			else
				close(received);
		}
	}
	return length;
}

/* --- clients ----------------------------------------------------------------------------------------------- */

static void drop(struct client *client)
{
	loop_remove(client->control->loop, client->watch);
	client->watch = NULL;
	close_fd(&client->fd);
}

static void client_ready(void *arg, uint32_t events)
{
	struct client *client = arg;
	struct vmm_control_request request;
	struct vmm_control_reply reply = { 0 };
	struct err err = ERR_INIT;
	int fds[REQUEST_FDS] = { -1, -1 };
	ssize_t length = receive(client->fd, &request, fds);

	(void)events;
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (length <= 0) {
		drop(client);
		goto out;
	}
	if (length != sizeof request) {
		err_set(&err, EBADMSG, "a request of %zd bytes instead of %zu", length, sizeof request);
	} else {
		request.name[sizeof request.name - 1] = '\0';
		handle(client->control, &request, fds, &reply, &err);
	}
	reply.code = (uint32_t)err.code;
	snprintf(reply.text, sizeof reply.text, "%.*s", (int)sizeof reply.text - 1, err.text);
	/* A peer that does not fetch its replies loses its connection, not our time. */
	if (send(client->fd, &reply, sizeof reply, MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof reply)
		drop(client);
out:
	for (unsigned i = 0; i < REQUEST_FDS; i++)
		close_fd(&fds[i]);
}

static void connection_came(void *arg, uint32_t events)
{
	struct control *control = arg;
	auto_fd int fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &control->clients[i];

		if (client->fd >= 0)
			continue;
		client->watch = loop_add_fd(control->loop, fd, EPOLLIN, client_ready, client);
		if (client->watch)
			client->fd = take_fd(&fd);
		return;
	}
	log_warn("control socket: more than %d connections at once, one is closed", CLIENTS_MAX);
}

struct control *control_create(struct loop *loop, int listen_fd, const struct control_ops *ops, void *arg,
			       struct err *err)
{
	struct control *control = malloc(sizeof *control);

	if (!control) {
		close(listen_fd);
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	*control = (struct control){ .loop = loop, .ops = ops, .arg = arg, .listen_fd = listen_fd };
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		control->clients[i] = (struct client){ .control = control, .fd = -1 };
	/* Whoever shares the socket might accept before us, and accept must not wait then. */
	fcntl(listen_fd, F_SETFL, O_NONBLOCK);
	control->watch = loop_add_fd(loop, listen_fd, EPOLLIN, connection_came, control);
	if (!control->watch) {
		err_set_errno(err, "cannot watch the control socket");
		control_destroy(control);
		return NULL;
	}
	return control;
}

void control_destroy(struct control *control)
{
	if (!control)
		return;
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		if (control->clients[i].fd >= 0)
			drop(&control->clients[i]);
	loop_remove(control->loop, control->watch);
	close_fd(&control->listen_fd);
	free(control);
}
