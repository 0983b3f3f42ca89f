/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/control_client.h"

#include "runtime/vm_socket.h"

#include "common/auto.h"
#include "common/err.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { CONTROL_TIMEOUT_S = 30 };

int control_call(int dirfd, enum vmm_control_op op, struct vmm_stats *stats, struct err *err)
{
	struct vmm_control_request request = { .op = op };
	struct vmm_control_reply reply;
	struct timeval limit = { .tv_sec = CONTROL_TIMEOUT_S };
	auto_fd int fd = vm_socket_connect(dirfd, VM_SOCKET_CONTROL, SOCK_SEQPACKET, err);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0)
		return err_set_errno(err, "cannot set a time limit");
	if (send(fd, &request, sizeof request, MSG_NOSIGNAL) != (ssize_t)sizeof request)
		return err_set_errno(err, "cannot ask the monitor");
	ssize_t n = recv(fd, &reply, sizeof reply, 0);
	if (n < 0 && errno == EAGAIN)
		return err_set(err, ETIMEDOUT, "the monitor does not answer");
	if (n != (ssize_t)sizeof reply)
		return err_set(err, ECONNRESET, "the virtual machine has ended");
	if (reply.code) {
		reply.text[sizeof reply.text - 1] = '\0';
		return err_set(err, (int)reply.code, "%s", *reply.text ? reply.text : strerror((int)reply.code));
	}
	if (stats)
		*stats = reply.stats;
	return 0;
}
