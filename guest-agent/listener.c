/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/listener.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/proto.h"
#include "guest-agent/agent.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#ifdef AGENT_TEST
#include <sys/un.h>
#else
#include <linux/vm_sockets.h>
#endif

enum { BACKLOG = 128 };

static const struct {
	unsigned port;
	const char *name; /* in test mode */
} places[] = {
	[CONN_CONTROL] = { AGENT_PORT_CONTROL, "control" },
	[CONN_STREAM] = { AGENT_PORT_STREAM, "stream" },
	[CONN_RESOLVER] = { AGENT_PORT_RESOLVER, "resolver" },
};

struct listener {
	struct agent *agent;
	enum conn_kind kind;
	int fd;
};

#ifdef AGENT_TEST

static int make_socket(const struct agent *agent, enum conn_kind kind, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%.90s/%s", agent->run_dir, places[kind].name);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
		return err_set_errno(err, "%s", address.sun_path);
	return take_fd(&fd);
}

static bool is_from_host(const struct sockaddr_storage *peer)
{
	return peer->ss_family == AF_UNIX;
}

#else

static int make_socket(const struct agent *agent, enum conn_kind kind, struct err *err)
{
	const struct sockaddr_vm address = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_ANY,
		.svm_port = places[kind].port,
	};
	auto_fd int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)agent;
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
		return err_set_errno(err, "vsock port %u", address.svm_port);
	return take_fd(&fd);
}

/* Programs in the guest may open vsock sockets, too. The agent obeys the host alone. */
static bool is_from_host(const struct sockaddr_storage *peer)
{
	const struct sockaddr_vm *address = (const void *)peer;

	return peer->ss_family == AF_VSOCK && address->svm_cid == VMADDR_CID_HOST;
}

#endif

static void peer_connected(void *arg, uint32_t events)
{
	struct listener *listener = arg;
	struct sockaddr_storage peer = { 0 };
	socklen_t length = sizeof peer;
	auto_fd int fd = accept4(listener->fd, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			log_warn("accepting a connection: %s", strerror(errno));
		return;
	}
	if (!is_from_host(&peer)) {
		log_warn("a connection that is not from the host was refused");
		return;
	}
	conn_create(listener->agent, take_fd(&fd), listener->kind);
}

int listener_create(struct agent *agent, enum conn_kind kind, struct err *err)
{
	struct listener *listener = calloc(1, sizeof *listener);

	if (!listener)
		return err_set(err, ENOMEM, "listening: out of memory");
	*listener = (struct listener){ .agent = agent, .kind = kind, .fd = make_socket(agent, kind, err) };
	if (listener->fd < 0) {
		free(listener);
		return -1;
	}
	if (listen(listener->fd, BACKLOG) < 0 ||
	    !loop_add_fd(agent->loop, listener->fd, EPOLLIN, peer_connected, listener)) {
		err_set_errno(err, "listening");
		close(listener->fd);
		free(listener);
		return -1;
	}
	return 0;
}
