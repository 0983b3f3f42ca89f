/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/sync.h"

#include "common/auto.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

/* Only a failure carries its text. */
#define SHORT_SIZE offsetof(struct sync_message, err)

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int sync_create(int fds[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -1;
	return fcntl(fds[0], F_SETFL, O_NONBLOCK);
}

int sync_send(int socket, enum sync_kind kind, const struct err *err, int fd)
{
	struct sync_message message = { .kind = kind };
	struct iovec iov = { .iov_base = &message, .iov_len = err ? sizeof message : SHORT_SIZE };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control control;

	if (err)
		message.err = *err;
	if (fd >= 0) {
		memset(&control, 0, sizeof control);
		header.msg_control = control.bytes;
		header.msg_controllen = sizeof control.bytes;
		struct cmsghdr *item = CMSG_FIRSTHDR(&header);
		item->cmsg_level = SOL_SOCKET;
		item->cmsg_type = SCM_RIGHTS;
		item->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(item), &fd, sizeof fd);
	}
	return sendmsg(socket, &header, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

int sync_receive(int socket, struct sync_message *message, int *fd)
{
	struct iovec iov = { .iov_base = message, .iov_len = sizeof *message };
	union control control;
	struct msghdr header = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof control.bytes,
	};
	ssize_t n = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);

	*fd = -1;
	if (n <= 0)
		return (int)n;
	struct cmsghdr *item = CMSG_FIRSTHDR(&header);
	if (item && item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_RIGHTS &&
	    item->cmsg_len == CMSG_LEN(sizeof *fd))
		memcpy(fd, CMSG_DATA(item), sizeof *fd);
	if ((size_t)n != (message->kind == SYNC_FAILED ? sizeof *message : SHORT_SIZE)) {
		close_fd(fd);
		errno = EPROTO;
		return -1;
	}
	message->err.text[sizeof message->err.text - 1] = '\0';
	return 1;
}

void sync_await(int socket, enum sync_kind kind)
{
	struct sync_message message;
	int fd, ret;

	for (;;) {
		ret = sync_receive(socket, &message, &fd);
		if (ret < 0 && errno == EINTR)
			continue;
		if (ret <= 0)
			_exit(1);
		close_fd(&fd);
		if (message.kind == (uint32_t)kind)
			return;
	}
}
