/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/port_forward.h"

#include "runtime/frame.h"
#include "runtime/port_steer.h"
#include "runtime/proxy_channel.h"
#include "runtime/relay.h"
#include "runtime/vm_socket.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/proto.h"

#include "agent.pb.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FORWARD_ID = 1 };

/* One connection: CONNECT and FORWARD over the channel, then two relays. */
struct link {
	struct port_forward *forward; /* NULL: a free place */
	int socket;                   /* until the relays own it */
	unsigned port;
	struct channel *channel;
	struct relay *in, *out;
};

struct port_forward {
	struct loop *loop;
	int state_fd;
	struct port_steer steer;
	struct loop_watch *watch;
	struct link links[PORT_FORWARDS_MAX];
};

static void drop(struct link *link)
{
	channel_destroy(link->channel);
	relay_destroy(link->in);
	relay_destroy(link->out);
	close_fd(&link->socket);
	*link = (struct link){ .socket = -1 };
}

/* The client has said all; the answer may still be on its way. */
static void in_done(void *arg)
{
	(void)arg;
}

static void out_done(void *arg)
{
	drop(arg);
}

static int start_relays(struct link *link, int guest_fd, struct err *err)
{
	auto_fd int guest = guest_fd;
	int from = fcntl(link->socket, F_DUPFD_CLOEXEC, 3), to = fcntl(guest, F_DUPFD_CLOEXEC, 3);

	if (from < 0 || to < 0) {
		close_fd(&from);
		close_fd(&to);
		return err_set_errno(err, "cannot duplicate a socket");
	}
	link->in = relay_create(link->forward->loop, from, to, in_done, link, err);
	if (!link->in)
		return -1;
	link->out = relay_create(link->forward->loop, take_fd(&guest), take_fd(&link->socket), out_done, link, err);
	return link->out ? 0 : -1;
}

static void channel_opened(void *arg)
{
	struct link *link = arg;
	agent_ForwardRequest request = { .port = link->port };
	struct err err = ERR_INIT;

	if (channel_send(link->channel, PROTO_FORWARD, FORWARD_ID, agent_ForwardRequest_fields, &request, &err) < 0)
		drop(link);
}

static void channel_received(void *arg, const struct proto_header *header, const uint8_t *payload)
{
	struct link *link = arg;
	struct err err = ERR_INIT;

	(void)payload;
	if (header->type != PROTO_FORWARD_REPLY || header->id != FORWARD_ID) {
		drop(link);
		return;
	}
	int fd = channel_take_fd(link->channel);
	link->channel = NULL;
	if (start_relays(link, fd, &err) < 0) {
		log_debug("port %u: %s", link->port, err.text);
		drop(link);
	}
}

static void channel_closed(void *arg, const char *why)
{
	struct link *link = arg;

	log_debug("port %u: %s", link->port, why);
	drop(link);
}

static const struct channel_callbacks channel_callbacks = { channel_opened, channel_received, channel_closed };

static void begin(struct port_forward *forward, struct link *link, int socket, unsigned port)
{
	struct err err = ERR_INIT;
	int fd = vm_socket_connect_beneath(forward->state_fd, VM_SOCKET_VSOCK, SOCK_STREAM, &err);

	*link = (struct link){ .forward = forward, .socket = socket, .port = port };
	if (fd >= 0)
		link->channel = channel_open(forward->loop, fd, AGENT_PORT_STREAM, &channel_callbacks, link, &err);
	if (!link->channel) {
		log_debug("port %u: %s", link->port, err.text);
		drop(link);
	}
}

static void connection_came(void *arg, uint32_t events)
{
	struct port_forward *forward = arg;
	unsigned port;
	int socket = port_steer_accept(&forward->steer, &port);

	(void)events;
	if (socket < 0)
		return;
	for (size_t i = 0; i < PORT_FORWARDS_MAX; i++) {
		if (!forward->links[i].forward) {
			begin(forward, &forward->links[i], socket, port);
			return;
		}
	}
	close(socket);
}

struct port_forward *port_forward_create(struct loop *loop, int state_fd, bool every_address, struct err *err)
{
	struct port_forward *forward = calloc(1, sizeof *forward);

	if (!forward) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	forward->loop = loop;
	forward->state_fd = state_fd;
	for (size_t i = 0; i < PORT_FORWARDS_MAX; i++)
		forward->links[i].socket = -1;
	if (port_steer_open(&forward->steer, every_address, err) < 0) {
		free(forward);
		return NULL;
	}
	forward->watch = loop_add_fd(loop, forward->steer.listen_fd, EPOLLIN, connection_came, forward);
	if (!forward->watch) {
		err_set_errno(err, "cannot watch a socket");
		port_forward_destroy(forward);
		return NULL;
	}
	return forward;
}

void port_forward_destroy(struct port_forward *forward)
{
	if (!forward)
		return;
	loop_remove(forward->loop, forward->watch);
	for (size_t i = 0; i < PORT_FORWARDS_MAX; i++) {
		if (forward->links[i].forward)
			drop(&forward->links[i]);
	}
	port_steer_close(&forward->steer);
	free(forward);
}
