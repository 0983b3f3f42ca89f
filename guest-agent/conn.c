/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/conn.h"

#include "common/auto.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/proto.h"
#include "guest-agent/agent.h"
#include "guest-agent/container.h"
#include "guest-agent/requests.h"
#include "guest-agent/resolver.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
	OUT_STOP_READING = 64 << 10, /* unsent replies beyond which no request is taken */
	OUT_MAX = 16 << 20,          /* ... and beyond which the peer is given up (waits that end, of many processes) */
};

struct conn {
	struct agent *agent;
	int fd;
	struct loop_watch *watch;
	enum conn_kind kind;
	bool is_greeted;
	bool is_broken;
	bool closes_after_reply;

	uint8_t header[PROTO_HEADER_SIZE];
	size_t header_have;
	struct proto_header frame; /* valid when the header is complete */
	uint8_t *payload;
	size_t payload_have;

	uint8_t *out;
	size_t out_start, out_end, out_size;
};

static void conn_ready(void *arg, uint32_t events);

void conn_create(struct agent *agent, int fd, enum conn_kind kind)
{
	struct conn *conn = calloc(1, sizeof *conn);

	if (conn) {
		*conn = (struct conn){ .agent = agent, .fd = fd, .kind = kind };
		conn->watch = loop_add_fd(agent->loop, fd, EPOLLIN, conn_ready, conn);
	}
	if (!conn || !conn->watch) {
		log_warn("no memory for a connection");
		free(conn);
		close_fd(&fd);
	}
}

static void conn_destroy(struct conn *conn)
{
	container_connection_closed(conn->agent, conn);
	resolver_disconnected(conn->agent, conn);
	loop_remove(conn->agent->loop, conn->watch);
	close_fd(&conn->fd);
	free(conn->payload);
	free(conn->out);
	free(conn);
}

enum conn_kind conn_kind(const struct conn *conn)
{
	return conn->kind;
}

bool conn_is_greeted(const struct conn *conn)
{
	return conn->is_greeted;
}

void conn_set_greeted(struct conn *conn)
{
	conn->is_greeted = true;
}

static size_t unsent(const struct conn *conn)
{
	return conn->out_end - conn->out_start;
}

static void update_watch(struct conn *conn)
{
	uint32_t events = unsent(conn) ? EPOLLOUT : 0;

	/* A broken one waits for input as well: its callback comes at once, and ends it. */
	if (conn->is_broken || (unsent(conn) < OUT_STOP_READING && !conn->closes_after_reply))
		events |= EPOLLIN;
	if (conn->closes_after_reply && !unsent(conn))
		events |= EPOLLOUT;
	if (loop_change(conn->agent->loop, conn->watch, events) < 0)
		conn->is_broken = true;
}

static void flush(struct conn *conn)
{
	while (unsent(conn) && !conn->is_broken) {
		ssize_t n = send(conn->fd, conn->out + conn->out_start, unsent(conn), MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			/* The caller may be in the middle of something that uses it: its own callback ends it. */
			shutdown(conn->fd, SHUT_RDWR);
			conn->is_broken = true;
		} else {
			conn->out_start += (size_t)n;
		}
	}
	if (!unsent(conn))
		conn->out_start = conn->out_end = 0;
	update_watch(conn);
}

static bool reserve(struct conn *conn, size_t length)
{
	if (unsent(conn) + length > OUT_MAX)
		return false;
	if (conn->out_start) {
		memmove(conn->out, conn->out + conn->out_start, unsent(conn));
		conn->out_end -= conn->out_start;
		conn->out_start = 0;
	}
	if (conn->out_end + length <= conn->out_size)
		return true;
	uint8_t *grown = realloc(conn->out, conn->out_end + length);
	if (!grown)
		return false;
	conn->out = grown;
	conn->out_size = conn->out_end + length;
	return true;
}

void conn_send(struct conn *conn, uint16_t type, uint32_t id, uint8_t *frame, size_t length)
{
	const struct proto_header header = { .length = (uint32_t)length, .type = type, .id = id };

	if (conn->is_broken)
		return;
	proto_pack_header(frame, &header);
	if (!reserve(conn, PROTO_HEADER_SIZE + length)) {
		log_warn("a peer does not read its replies");
		shutdown(conn->fd, SHUT_RDWR);
		conn->is_broken = true;
		update_watch(conn);
		return;
	}
	memcpy(conn->out + conn->out_end, frame, PROTO_HEADER_SIZE + length);
	conn->out_end += PROTO_HEADER_SIZE + length;
	flush(conn);
}

void conn_close_after_reply(struct conn *conn)
{
	conn->closes_after_reply = true;
	update_watch(conn);
}

int conn_take_fd(struct conn *conn)
{
	int fd = -1;

	if (!unsent(conn) && !conn->is_broken) {
		/* The watch goes before anybody else watches the descriptor. */
		loop_remove(conn->agent->loop, conn->watch);
		conn->watch = NULL;
		fd = take_fd(&conn->fd);
	}
	conn_destroy(conn);
	return fd;
}

/* Reads up to `size`. 1: complete; 0: more is to come; -1: the peer has gone. */
static int receive(struct conn *conn, uint8_t *out, size_t *have, size_t size)
{
	if (*have == size)
		return 1;
	ssize_t n = recv(conn->fd, out + *have, size - *have, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -1;
	*have += (size_t)n;
	return *have == size;
}

static bool begin_payload(struct conn *conn)
{
	if (!proto_unpack_header(conn->header, &conn->frame)) {
		log_warn("a peer does not speak the protocol");
		return false;
	}
	if (!proto_length_is_valid(conn->frame.type, conn->frame.length)) {
		log_warn("a %s frame of %u bytes is too long", proto_type_name(conn->frame.type), conn->frame.length);
		return false;
	}
	/* One byte more, so that a frame without payload has an address too. */
	conn->payload = malloc((size_t)conn->frame.length + 1);
	conn->payload_have = 0;
	return conn->payload != NULL;
}

/* At most one frame a call. 1: a frame is complete; 0: not yet; -1: the connection is to end. */
static int read_frame(struct conn *conn)
{
	int ret = receive(conn, conn->header, &conn->header_have, sizeof conn->header);

	if (ret <= 0)
		return ret;
	if (!conn->payload && !begin_payload(conn))
		return -1;
	return receive(conn, conn->payload, &conn->payload_have, conn->frame.length);
}

static void conn_ready(void *arg, uint32_t events)
{
	struct conn *conn = arg;

	if (events & EPOLLOUT)
		flush(conn);
	if (conn->is_broken || (conn->closes_after_reply && !unsent(conn))) {
		conn_destroy(conn);
		return;
	}
	if (!(events & ~(uint32_t)EPOLLOUT))
		return;
	int ret = read_frame(conn);
	if (ret < 0) {
		conn_destroy(conn);
	} else if (ret > 0) {
		auto_free uint8_t *payload = take_ptr(&conn->payload);
		const struct proto_header frame = conn->frame;

		conn->header_have = 0;
		/* Last: this may end the connection. */
		requests_handle(conn->agent, conn, &frame, payload);
	}
}
