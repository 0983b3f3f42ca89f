/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/control_client.h"

#include "runtime/vm_socket.h"

#include "common/auto.h"
#include "common/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { CONTROL_TIMEOUT_S = 30, CHECKPOINT_TIMEOUT_S = 1800, FDS_MAX = CONTROL_FDS_MAX };

int control_send(int socket, const struct vmm_control_request *request, const int fds[FDS_MAX])
{
	struct iovec data = { .iov_base = (void *)(size_t)request, .iov_len = sizeof *request };
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(FDS_MAX * sizeof(int))] = { 0 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1 };
	size_t count = 0;

	while (count < FDS_MAX && fds[count] >= 0)
		count++;
	if (count > 0) {
		message.msg_control = space;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL) == (ssize_t)sizeof *request ? 0 : -1;
}

int control_check(struct vmm_control_reply *reply, struct err *err)
{
	if (!reply->code)
		return 0;
	reply->text[sizeof reply->text - 1] = '\0';
	return err_set(err, (int)reply->code, "%s", *reply->text ? reply->text : strerror((int)reply->code));
}

int control_receive(int socket, int flags, struct vmm_control_reply *reply)
{
	*reply = (struct vmm_control_reply){ 0 };
	ssize_t n = recv(socket, reply, sizeof *reply, flags);

	if (n >= (ssize_t)VMM_CONTROL_REPLY_MIN)
		return 0;
	if (n >= 0)
		errno = ECONNRESET;
	return -1;
}

static int exchange(int dirfd, const struct vmm_control_request *request, const int fds[FDS_MAX],
		    struct vmm_control_reply *reply, struct err *err)
{
	struct timeval limit = { .tv_sec = request->op == VMM_CONTROL_CHECKPOINT ? CHECKPOINT_TIMEOUT_S
										 : CONTROL_TIMEOUT_S };
	auto_fd int fd = vm_socket_connect(dirfd, VM_SOCKET_CONTROL, SOCK_SEQPACKET, err);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0)
		return err_set_errno(err, "cannot set a time limit");
	if (control_send(fd, request, fds) < 0)
		return err_set_errno(err, "cannot ask the monitor");
	if (control_receive(fd, 0, reply) < 0) {
		if (errno == EAGAIN)
			return err_set(err, ETIMEDOUT, "the monitor does not answer");
		return err_set(err, ECONNRESET, "the virtual machine has ended");
	}
	return control_check(reply, err);
}

int control_call(int dirfd, enum vmm_control_op op, struct vmm_control_reply *out, struct err *err)
{
	const struct vmm_control_request request = { .op = op };
	struct vmm_control_reply reply;

	if (exchange(dirfd, &request, (const int[FDS_MAX]){ -1, -1 }, &reply, err) < 0)
		return -1;
	if (out)
		*out = reply;
	return 0;
}

int control_add_share(int dirfd, const char *name, int fd, bool readonly, struct err *err)
{
	struct vmm_control_request request = { .op = VMM_CONTROL_ADD_SHARE, .arg = readonly };
	struct vmm_control_reply reply;

	snprintf(request.name, sizeof request.name, "%s", name);
	return exchange(dirfd, &request, (const int[FDS_MAX]){ fd, -1 }, &reply, err);
}

int control_remove_share(int dirfd, const char *name, struct err *err)
{
	struct vmm_control_request request = { .op = VMM_CONTROL_REMOVE_SHARE };
	struct vmm_control_reply reply;

	snprintf(request.name, sizeof request.name, "%s", name);
	return exchange(dirfd, &request, (const int[FDS_MAX]){ -1, -1 }, &reply, err);
}

struct vmm_control_request control_net_request(const char *name, int index, const uint8_t mac[6])
{
	struct vmm_control_request request = { .op = VMM_CONTROL_ADD_NET, .arg = (uint64_t)index };

	snprintf(request.name, sizeof request.name, "%s", name);
	memcpy(request.mac, mac, sizeof request.mac);
	return request;
}

int control_add_net(int dirfd, const char *name, int index, const uint8_t mac[6], int tap_fd, int vhost_fd,
		    struct vmm_place *place, struct err *err)
{
	const struct vmm_control_request request = control_net_request(name, index, mac);
	struct vmm_control_reply reply;

	if (exchange(dirfd, &request, (const int[FDS_MAX]){ tap_fd, vhost_fd }, &reply, err) < 0)
		return -1;
	*place = reply.place;
	return 0;
}

int control_add_disk(int dirfd, const char *id, int fd, uint64_t packed, struct vmm_place *place, struct err *err)
{
	struct vmm_control_request request = { .op = VMM_CONTROL_ADD_DISK, .arg = packed };
	struct vmm_control_reply reply;

	snprintf(request.name, sizeof request.name, "%s", id);
	if (exchange(dirfd, &request, (const int[FDS_MAX]){ fd, -1 }, &reply, err) < 0)
		return -1;
	*place = reply.place;
	return 0;
}

int control_find_disk(int dirfd, const char *id, struct vmm_place *place, struct err *err)
{
	struct vmm_control_request request = { .op = VMM_CONTROL_FIND_DISK };
	struct vmm_control_reply reply;

	snprintf(request.name, sizeof request.name, "%s", id);
	if (exchange(dirfd, &request, (const int[FDS_MAX]){ -1, -1 }, &reply, err) < 0)
		return -1;
	*place = reply.place;
	return 0;
}

int control_remove_disk(int dirfd, const char *id, struct err *err)
{
	struct vmm_control_request request = { .op = VMM_CONTROL_REMOVE_DISK };
	struct vmm_control_reply reply;

	snprintf(request.name, sizeof request.name, "%s", id);
	return exchange(dirfd, &request, (const int[FDS_MAX]){ -1, -1 }, &reply, err);
}

int control_resize(int dirfd, uint64_t bytes, struct vmm_place *place, struct vmm_growth *growth, struct err *err)
{
	const struct vmm_control_request request = { .op = VMM_CONTROL_RESIZE, .arg = bytes };
	struct vmm_control_reply reply;

	if (exchange(dirfd, &request, (const int[FDS_MAX]){ -1, -1 }, &reply, err) < 0)
		return -1;
	*place = reply.place;
	*growth = reply.growth;
	return 0;
}

bool control_has_net(int dirfd, int index)
{
	const struct vmm_control_request request = { .op = VMM_CONTROL_FIND_NET, .arg = (uint64_t)index };
	struct vmm_control_reply reply;
	struct err err = ERR_INIT;

	return exchange(dirfd, &request, (const int[FDS_MAX]){ -1, -1 }, &reply, &err) == 0;
}

int control_checkpoint(int dirfd, int memory_fd, int state_fd, struct err *err)
{
	const struct vmm_control_request request = { .op = VMM_CONTROL_CHECKPOINT };
	struct vmm_control_reply reply;

	return exchange(dirfd, &request, (const int[FDS_MAX]){ memory_fd, state_fd }, &reply, err);
}
