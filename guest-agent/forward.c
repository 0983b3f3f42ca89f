/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/forward.h"

#include "common/auto.h"
#include "common/log.h"
#include "common/loop.h"
#include "guest-agent/agent.h"
#include "guest-agent/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* Where it may be; the second is tried when the first is refused. */
enum { ATTEMPTS = 2 };

struct forward {
	struct agent *agent;
	uint16_t port;
	int attempt;
	int connection, socket; /* until the pumps own them; then copies, for their ends */
	struct loop_watch *watch;
	struct pump *in, *out;
	bool in_ended, out_ended;
};

static void destroy(struct forward *forward)
{
	loop_remove(forward->agent->loop, forward->watch);
	pump_destroy(forward->in);
	pump_destroy(forward->out);
	close_fd(&forward->connection);
	close_fd(&forward->socket);
	free(forward);
}

/* One side has said all: the other learns it, and may go on talking. */
static void in_ended(void *arg)
{
	struct forward *forward = arg;

	shutdown(forward->socket, SHUT_WR);
	forward->in_ended = true;
	if (forward->out_ended)
		destroy(forward);
}

/* The server has closed: nothing more can be asked of it. */
static void out_ended(void *arg)
{
	destroy(arg);
}

static void connected(struct forward *forward)
{
	int from = fcntl(forward->connection, F_DUPFD_CLOEXEC, 0), to = fcntl(forward->socket, F_DUPFD_CLOEXEC, 0);

	loop_remove(forward->agent->loop, forward->watch);
	forward->watch = NULL;
	forward->in = pump_create(forward->agent->loop, from, to, in_ended, forward);
	from = fcntl(forward->socket, F_DUPFD_CLOEXEC, 0);
	to = fcntl(forward->connection, F_DUPFD_CLOEXEC, 0);
	forward->out = pump_create(forward->agent->loop, from, to, out_ended, forward);
	if (!forward->in || !forward->out)
		destroy(forward);
}

static void try_next(struct forward *forward);

static void socket_ready(void *arg, uint32_t events)
{
	struct forward *forward = arg;
	int error = 0;
	socklen_t length = sizeof error;

	(void)events;
	if (getsockopt(forward->socket, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0) {
		connected(forward);
		return;
	}
	log_debug("port %u: %s", forward->port, strerror(error));
	try_next(forward);
}

static int begin_connect(struct forward *forward)
{
	const struct sockaddr_in v4 = {
		.sin_family = AF_INET,
		.sin_port = htons(forward->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const struct sockaddr_in6 v6 = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(forward->port),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};
	bool is_v4 = forward->attempt == 1;

	forward->socket = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (forward->socket < 0)
		return -1;
	int result = is_v4 ? connect(forward->socket, (const struct sockaddr *)&v4, sizeof v4)
			   : connect(forward->socket, (const struct sockaddr *)&v6, sizeof v6);
	return result < 0 && errno != EINPROGRESS ? -1 : 0;
}

/* Nothing here waits: a server whose backlog is full is its own trouble, and that of who asks it. */
static void try_next(struct forward *forward)
{
	while (forward->attempt < ATTEMPTS) {
		loop_remove(forward->agent->loop, forward->watch);
		forward->watch = NULL;
		close_fd(&forward->socket);
		forward->attempt++;
		if (begin_connect(forward) < 0)
			continue;
		forward->watch = loop_add_fd(forward->agent->loop, forward->socket, EPOLLOUT, socket_ready, forward);
		if (forward->watch)
			return;
	}
	destroy(forward);
}

void forward_start(struct agent *agent, int connection, uint16_t port)
{
	struct forward *forward = calloc(1, sizeof *forward);

	if (!forward) {
		close_fd(&connection);
		return;
	}
	*forward = (struct forward){ .agent = agent, .port = port, .connection = connection, .socket = -1 };
	try_next(forward);
}
