/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vsock_conn.h"

#include "common/ring.h"
#include "vmm/vsock_packet.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	/* The guest is told of its new credit when this part of the buffer has become free without its knowing. */
	CREDIT_STEP = 4,
	/* Larger packets save nothing, and smaller ones take turns better. */
	DATA_MAX = 64 << 10,
	/* What a closing socket may still hold and have thrown away; see vsock_conn_tidy. */
	DISCARD_MAX = 1 << 20,
};

/* A guest may promise any buffer. Kept below 2^31, so that counts modulo 2^32 can be compared. */
#define PEER_BUFFER_MAX (1u << 30)

static const char *const state_names[] = {
	[VSOCK_FREE] = "free",
	[VSOCK_GREETING] = "greeting",
	[VSOCK_WAITING] = "waiting",
	[VSOCK_CONNECTING] = "connecting",
	[VSOCK_OPEN] = "open",
	[VSOCK_TO_GUEST] = "to guest only",
	[VSOCK_TO_HOST] = "to host only",
	[VSOCK_CLOSING] = "closing",
	[VSOCK_DRAINING] = "draining",
};
static_assert(sizeof state_names / sizeof state_names[0] == VSOCK_STATE_COUNT, "every state has a name");

static const char *const event_names[] = {
	[VSOCK_LINE] = "connect line",
	[VSOCK_HOST_EOF] = "host end of file",
	[VSOCK_HOST_GONE] = "host gone",
	[VSOCK_READY] = "ready",
	[VSOCK_RESET] = "device reset",
	[VSOCK_FLUSHED] = "flushed",
	[VSOCK_EVICT] = "evict",
	[VSOCK_ABORT] = "abort",
	[VSOCK_REQUEST] = "request",
	[VSOCK_RESPONSE] = "response",
	[VSOCK_RST] = "reset by guest",
	[VSOCK_SHUT_SEND] = "guest sends no more",
	[VSOCK_SHUT_RECEIVE] = "guest receives no more",
	[VSOCK_SHUT_BOTH] = "guest shut down",
	[VSOCK_DATA] = "data",
	[VSOCK_CREDIT] = "credit",
};
static_assert(sizeof event_names / sizeof event_names[0] == VSOCK_EVENT_COUNT, "every event has a name");

const char *vsock_state_name(enum vsock_state state)
{
	return (unsigned)state < VSOCK_STATE_COUNT ? state_names[state] : "unknown";
}

const char *vsock_event_name(enum vsock_event event)
{
	return (unsigned)event < VSOCK_EVENT_COUNT ? event_names[event] : "unknown";
}

enum action {
	STAY = 0,
	ASK = 1 << 0,          /* a REQUEST is owed */
	ACCEPT = 1 << 1,       /* "OK" to the host program */
	TELL_SEND = 1 << 2,    /* the guest is to learn that nothing more comes */
	TELL_RECEIVE = 1 << 3, /* the guest is to learn that nothing more is taken */
	TELL_BOTH = TELL_SEND | TELL_RECEIVE,
	STOP_READING = 1 << 4, /* the host program may not write any more */
	END_WRITING = 1 << 5,  /* the host program reads end of file */
	DROP = 1 << 6,         /* what is held has no taker */
	CLOSE = 1 << 7,        /* done with the socket */
	RESET = 1 << 8,        /* a RST is owed, if the guest knows of the connection */
};

/* A cell that was not filled in refuses its event. */
struct cell {
	bool defined;
	uint8_t next;
	uint16_t actions;
};
#define GO(state, acts)                                             \
	{                                                           \
		.defined = true, .next = (state), .actions = (acts) \
	}

static const struct cell table[VSOCK_STATE_COUNT][VSOCK_EVENT_COUNT] = {
	[VSOCK_GREETING] = {
		[VSOCK_LINE] = GO(VSOCK_WAITING, STAY),
		[VSOCK_HOST_GONE] = GO(VSOCK_FREE, CLOSE),
		[VSOCK_RESET] = GO(VSOCK_GREETING, STAY),
	},
	[VSOCK_WAITING] = {
		[VSOCK_HOST_GONE] = GO(VSOCK_FREE, CLOSE),
		[VSOCK_READY] = GO(VSOCK_CONNECTING, ASK),
		[VSOCK_RESET] = GO(VSOCK_WAITING, STAY),
	},
	[VSOCK_CONNECTING] = {
		[VSOCK_HOST_GONE] = GO(VSOCK_FREE, CLOSE | RESET),
		[VSOCK_RESET] = GO(VSOCK_FREE, CLOSE),
		[VSOCK_ABORT] = GO(VSOCK_FREE, CLOSE | RESET),
		[VSOCK_RESPONSE] = GO(VSOCK_OPEN, ACCEPT),
		[VSOCK_RST] = GO(VSOCK_FREE, CLOSE),
	},
	[VSOCK_OPEN] = {
		[VSOCK_HOST_EOF] = GO(VSOCK_TO_HOST, TELL_SEND),
		[VSOCK_HOST_GONE] = GO(VSOCK_TO_GUEST, TELL_RECEIVE | DROP),
		[VSOCK_RESET] = GO(VSOCK_DRAINING, STAY),
		[VSOCK_ABORT] = GO(VSOCK_DRAINING, RESET),
		[VSOCK_RST] = GO(VSOCK_DRAINING, STAY),
		[VSOCK_SHUT_SEND] = GO(VSOCK_TO_GUEST, STAY),
		[VSOCK_SHUT_RECEIVE] = GO(VSOCK_TO_HOST, STOP_READING),
		[VSOCK_SHUT_BOTH] = GO(VSOCK_DRAINING, RESET),
		[VSOCK_DATA] = GO(VSOCK_OPEN, STAY),
		[VSOCK_CREDIT] = GO(VSOCK_OPEN, STAY),
	},
	[VSOCK_TO_GUEST] = {
		[VSOCK_HOST_EOF] = GO(VSOCK_CLOSING, TELL_BOTH),
		[VSOCK_HOST_GONE] = GO(VSOCK_TO_GUEST, TELL_RECEIVE | DROP),
		[VSOCK_RESET] = GO(VSOCK_DRAINING, STAY),
		[VSOCK_FLUSHED] = GO(VSOCK_TO_GUEST, END_WRITING),
		[VSOCK_EVICT] = GO(VSOCK_FREE, CLOSE | RESET),
		[VSOCK_ABORT] = GO(VSOCK_DRAINING, RESET),
		[VSOCK_RST] = GO(VSOCK_DRAINING, STAY),
		[VSOCK_SHUT_SEND] = GO(VSOCK_TO_GUEST, STAY),
		[VSOCK_SHUT_RECEIVE] = GO(VSOCK_CLOSING, TELL_BOTH | STOP_READING),
		[VSOCK_SHUT_BOTH] = GO(VSOCK_DRAINING, RESET),
		[VSOCK_DATA] = GO(VSOCK_TO_GUEST, STAY),
		[VSOCK_CREDIT] = GO(VSOCK_TO_GUEST, STAY),
	},
	[VSOCK_TO_HOST] = {
		[VSOCK_HOST_GONE] = GO(VSOCK_CLOSING, TELL_BOTH | DROP),
		[VSOCK_RESET] = GO(VSOCK_DRAINING, STAY),
		[VSOCK_ABORT] = GO(VSOCK_DRAINING, RESET),
		[VSOCK_RST] = GO(VSOCK_DRAINING, STAY),
		[VSOCK_SHUT_SEND] = GO(VSOCK_CLOSING, TELL_BOTH),
		[VSOCK_SHUT_RECEIVE] = GO(VSOCK_TO_HOST, STOP_READING),
		[VSOCK_SHUT_BOTH] = GO(VSOCK_DRAINING, RESET),
		[VSOCK_DATA] = GO(VSOCK_TO_HOST, STAY),
		[VSOCK_CREDIT] = GO(VSOCK_TO_HOST, STAY),
	},
	[VSOCK_CLOSING] = {
		[VSOCK_HOST_GONE] = GO(VSOCK_CLOSING, DROP),
		[VSOCK_RESET] = GO(VSOCK_DRAINING, STAY),
		[VSOCK_FLUSHED] = GO(VSOCK_CLOSING, CLOSE),
		[VSOCK_EVICT] = GO(VSOCK_FREE, CLOSE | RESET),
		[VSOCK_ABORT] = GO(VSOCK_DRAINING, RESET),
		[VSOCK_RST] = GO(VSOCK_DRAINING, STAY),
		[VSOCK_SHUT_SEND] = GO(VSOCK_CLOSING, STAY),
		[VSOCK_SHUT_RECEIVE] = GO(VSOCK_CLOSING, STAY),
		[VSOCK_SHUT_BOTH] = GO(VSOCK_DRAINING, RESET),
		[VSOCK_DATA] = GO(VSOCK_CLOSING, STAY),
		[VSOCK_CREDIT] = GO(VSOCK_CLOSING, STAY),
	},
	[VSOCK_DRAINING] = {
		[VSOCK_HOST_GONE] = GO(VSOCK_FREE, CLOSE),
		[VSOCK_RESET] = GO(VSOCK_DRAINING, STAY),
		[VSOCK_FLUSHED] = GO(VSOCK_FREE, CLOSE),
	},
};

static size_t held(const struct vsock_conn *conn)
{
	return conn->ring ? ring_used(conn->ring) : 0;
}

static void drop_held(struct vsock_conn *conn)
{
	ring_destroy(conn->ring);
	conn->ring = NULL;
	conn->forwarded = conn->received;
}

/* False: the host program does not take it. */
static bool send_ok(struct vsock_conn *conn)
{
	char line[32];
	int length = snprintf(line, sizeof line, "OK %u\n", conn->host_port);

	/* The first bytes into an empty socket: all of them fit, or something is wrong with it. */
	return send(conn->fd, line, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL) == length;
}

/* One transition. False if the cell is empty. */
static bool move(struct vsock_conn *conn, enum vsock_event event)
{
	const struct cell *cell = &table[conn->state][event];

	if (!cell->defined)
		return false;
	conn->state = cell->next;
	if (cell->actions & ASK)
		conn->request_owed = true;
	if (cell->actions & TELL_SEND)
		conn->tell |= VSOCK_SHUTDOWN_SEND;
	if (cell->actions & TELL_RECEIVE)
		conn->tell |= VSOCK_SHUTDOWN_RECEIVE;
	if (cell->actions & RESET && conn->request_sent)
		conn->rst_owed = true;
	if (cell->actions & DROP)
		drop_held(conn);
	if (cell->actions & STOP_READING && conn->fd >= 0)
		shutdown(conn->fd, SHUT_RD);
	if (cell->actions & END_WRITING && !conn->writing_ended) {
		shutdown(conn->fd, SHUT_WR);
		conn->writing_ended = true;
	}
	if (cell->actions & CLOSE)
		conn->fd_done = true;
	if (conn->state == VSOCK_FREE)
		drop_held(conn);
	if (cell->actions & ACCEPT && !send_ok(conn))
		move(conn, VSOCK_HOST_GONE);
	return true;
}

bool vsock_conn_step(struct vsock_conn *conn, enum vsock_event event)
{
	if (!move(conn, event))
		return false;
	/* Not an event that somebody could miss, but a fact that several states wait for. */
	if (held(conn) == 0)
		move(conn, VSOCK_FLUSHED);
	return true;
}

/* `why` is what the guest did wrong, or what this side lacks. */
static void abort_conn(struct vsock_conn *conn, const char *why)
{
	conn->abort_reason = why;
	bool ok = vsock_conn_step(conn, VSOCK_ABORT);
	assert(ok); /* every state with a guest's end has this cell */
}

void vsock_conn_accept(struct vsock_conn *conn, int fd, uint32_t host_port, uint32_t buffer)
{
	assert(conn->state == VSOCK_FREE);
	*conn = (struct vsock_conn){ .state = VSOCK_GREETING, .fd = fd, .host_port = host_port, .buffer = buffer };
}

/*
 * Throws away what the host program wrote and nobody will read. Closing a Unix socket with unread bytes makes its
 * peer's next read fail with ECONNRESET, where a guest that simply did not read all of its input should look like
 * end of file. Nothing new can arrive after SHUT_RD, so this ends.
 */
static void discard_unread(int fd)
{
	char scrap[16 << 10];
	size_t total = 0;

	shutdown(fd, SHUT_RD);
	while (total < DISCARD_MAX) {
		ssize_t n = recv(fd, scrap, sizeof scrap, MSG_DONTWAIT);

		if (n <= 0)
			break;
		total += (size_t)n;
	}
}

void vsock_conn_tidy(struct vsock_conn *conn)
{
	if (!conn->fd_done || conn->fd < 0)
		return;
	discard_unread(conn->fd);
	close(conn->fd);
	conn->fd = -1;
}

void vsock_conn_destroy(struct vsock_conn *conn)
{
	conn->state = VSOCK_FREE;
	drop_held(conn);
	conn->fd_done = true;
	vsock_conn_tidy(conn);
}

/* The port, or -1 for anything but "CONNECT <port>\n". */
static int64_t parse_line(const char *line, size_t length)
{
	static const char verb[] = "CONNECT ";
	const size_t verb_length = sizeof verb - 1;
	int64_t port = 0;

	if (length && line[length - 1] == '\n')
		length--;
	if (length && line[length - 1] == '\r')
		length--;
	if (length <= verb_length || length > verb_length + 10 || memcmp(line, verb, verb_length) != 0)
		return -1;
	for (size_t i = verb_length; i < length; i++) {
		if (line[i] < '0' || line[i] > '9')
			return -1;
		port = port * 10 + (line[i] - '0');
	}
	return port <= UINT32_MAX ? port : -1;
}

/* Takes the CONNECT line from the socket and not a byte more: what follows is for the guest. */
static void read_line(struct vsock_conn *conn)
{
	char *free_part = conn->line + conn->line_length;
	ssize_t n = recv(conn->fd, free_part, sizeof conn->line - conn->line_length, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		vsock_conn_step(conn, VSOCK_HOST_GONE);
		return;
	}
	const char *end = memchr(free_part, '\n', (size_t)n);
	size_t take = end ? (size_t)(end - free_part) + 1 : (size_t)n;
	if (recv(conn->fd, free_part, take, MSG_DONTWAIT) != (ssize_t)take) {
		vsock_conn_step(conn, VSOCK_HOST_GONE);
		return;
	}
	conn->line_length = (uint8_t)(conn->line_length + take);
	if (!end && conn->line_length < sizeof conn->line)
		return;
	int64_t port = end ? parse_line(conn->line, conn->line_length) : -1;
	if (port < 0) {
		vsock_conn_step(conn, VSOCK_HOST_GONE);
		return;
	}
	conn->guest_port = (uint32_t)port;
	vsock_conn_step(conn, VSOCK_LINE);
}

/* Owe the guest its new credit when there is enough of it to be worth a packet. */
static void consider_credit(struct vsock_conn *conn)
{
	uint32_t unannounced = conn->forwarded - conn->announced;

	if (unannounced && unannounced >= conn->buffer / CREDIT_STEP)
		conn->credit_owed = true;
}

/* Sends segments without waiting. Returns the bytes taken, 0 if it would block; -1 if the socket takes no more ever. */
static ssize_t send_segments(int fd, const struct iovec *segments, unsigned count)
{
	struct msghdr message = { .msg_iov = (struct iovec *)segments, .msg_iovlen = count };
	ssize_t n = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM))
		return 0;
	return n;
}

static void flush_held(struct vsock_conn *conn)
{
	struct iovec pieces[2];

	if (held(conn) == 0)
		return;
	ssize_t n = send_segments(conn->fd, pieces, (unsigned)ring_peek(conn->ring, pieces));
	if (n < 0) {
		vsock_conn_step(conn, VSOCK_HOST_GONE);
		return;
	}
	ring_drop(conn->ring, (size_t)n);
	conn->forwarded += (uint32_t)n;
	consider_credit(conn);
	if (held(conn) == 0)
		move(conn, VSOCK_FLUSHED);
}

void vsock_conn_socket_ready(struct vsock_conn *conn, uint32_t events)
{
	if (events & (EPOLLHUP | EPOLLERR)) {
		/*
		 * The host program reads no more; what it wrote before is still to be read. The event would stay, so
		 * it must not be waited for.
		 */
		conn->hung_up = true;
		conn->host_readable = true;
		vsock_conn_step(conn, VSOCK_HOST_GONE);
		return;
	}
	if (events & EPOLLIN) {
		if (conn->state == VSOCK_GREETING)
			read_line(conn);
		else
			conn->host_readable = true;
	}
	if (events & EPOLLOUT)
		flush_held(conn);
}

static bool reads_host(const struct vsock_conn *conn)
{
	return conn->state == VSOCK_OPEN || conn->state == VSOCK_TO_GUEST;
}

int vsock_conn_interest(const struct vsock_conn *conn)
{
	if (conn->fd < 0 || conn->fd_done || conn->hung_up)
		return -1;
	int events = 0; /* hang-ups are always reported */
	if (conn->state == VSOCK_GREETING || (reads_host(conn) && !conn->host_readable))
		events |= EPOLLIN;
	if (held(conn) > 0)
		events |= EPOLLOUT;
	return events;
}

bool vsock_conn_has_guest(const struct vsock_conn *conn)
{
	switch (conn->state) {
	case VSOCK_CONNECTING:
		return conn->request_sent; /* before, the guest can only have guessed the port */
	case VSOCK_OPEN:
	case VSOCK_TO_GUEST:
	case VSOCK_TO_HOST:
	case VSOCK_CLOSING:
		return true;
	default:
		return false;
	}
}

/* Notes what the header says of the guest's buffer. False: it lies. */
static bool take_credit(struct vsock_conn *conn, const struct vsock_header *header)
{
	uint32_t unconsumed = conn->sent - header->fwd_cnt;

	if (unconsumed > INT32_MAX)
		return false; /* it claims to have consumed more than it was sent */
	/* A guest with several CPUs may queue its packets out of order: an older count must not undo a newer. */
	if (unconsumed <= conn->sent - conn->peer_forwarded) {
		conn->peer_forwarded = header->fwd_cnt;
		conn->peer_buffer = header->buf_alloc < PEER_BUFFER_MAX ? header->buf_alloc : PEER_BUFFER_MAX;
	}
	return true;
}

static size_t credit(const struct vsock_conn *conn)
{
	uint32_t in_flight = conn->sent - conn->peer_forwarded;

	return conn->peer_buffer > in_flight ? conn->peer_buffer - in_flight : 0;
}

/* Puts what the socket did not take into the ring; the credit was checked, so it fits. False: out of memory. */
static bool hold(struct vsock_conn *conn, const struct iovec *data, unsigned count, size_t skip)
{
	if (!conn->ring)
		conn->ring = ring_create(conn->buffer);
	if (!conn->ring)
		return false;
	for (unsigned i = 0; i < count; i++) {
		size_t length = data[i].iov_len;

		if (skip >= length) {
			skip -= length;
			continue;
		}
		size_t put = ring_put(conn->ring, (const char *)data[i].iov_base + skip, length - skip);
		assert(put == length - skip);
		skip = 0;
	}
	return true;
}

static void deliver(struct vsock_conn *conn, const struct vsock_header *header, const struct iovec *data,
		    unsigned count)
{
	ssize_t sent = 0;

	if (header->len > conn->buffer - (conn->received - conn->forwarded)) {
		abort_conn(conn, "data beyond its credit");
		return;
	}
	conn->received += header->len;
	if (header->len == 0)
		return;
	if (conn->state != VSOCK_OPEN && conn->state != VSOCK_TO_HOST) {
		/* The host program is gone, and the guest does not know yet: counted as consumed. */
		conn->forwarded += header->len;
		consider_credit(conn);
		return;
	}
	if (held(conn) == 0)
		sent = send_segments(conn->fd, data, count);
	if (sent < 0) {
		conn->forwarded = conn->received;
		vsock_conn_step(conn, VSOCK_HOST_GONE);
		return;
	}
	conn->forwarded += (uint32_t)sent;
	if ((size_t)sent < header->len && !hold(conn, data, count, (size_t)sent)) {
		conn->forwarded = conn->received;
		abort_conn(conn, "out of memory");
		return;
	}
	consider_credit(conn);
}

static enum vsock_event event_of(struct vsock_conn *conn, const struct vsock_header *header)
{
	switch (header->op) {
	case VSOCK_OP_REQUEST:
		return VSOCK_REQUEST;
	case VSOCK_OP_RESPONSE:
		return VSOCK_RESPONSE;
	case VSOCK_OP_RST:
		return VSOCK_RST;
	case VSOCK_OP_RW:
		return VSOCK_DATA;
	case VSOCK_OP_CREDIT_UPDATE:
	case VSOCK_OP_CREDIT_REQUEST:
		return VSOCK_CREDIT;
	case VSOCK_OP_SHUTDOWN:
		conn->guest_shut |= header->flags & VSOCK_SHUTDOWN_BOTH;
		if (conn->guest_shut == VSOCK_SHUTDOWN_BOTH)
			return VSOCK_SHUT_BOTH;
		if (conn->guest_shut == VSOCK_SHUTDOWN_SEND)
			return VSOCK_SHUT_SEND;
		if (conn->guest_shut == VSOCK_SHUTDOWN_RECEIVE)
			return VSOCK_SHUT_RECEIVE;
		return VSOCK_EVENT_COUNT;
	default:
		return VSOCK_EVENT_COUNT;
	}
}

void vsock_conn_packet(struct vsock_conn *conn, const struct vsock_header *header, const struct iovec *data,
		       unsigned count)
{
	assert(vsock_conn_has_guest(conn));
	enum vsock_event event = event_of(conn, header);

	if (event == VSOCK_EVENT_COUNT) {
		abort_conn(conn, "a packet of an unknown kind");
		return;
	}
	/* The numbers in a RST do not matter any more. */
	if (event != VSOCK_RST && !take_credit(conn, header)) {
		abort_conn(conn, "a claim to have consumed what was not sent");
		return;
	}
	if (!vsock_conn_step(conn, event)) {
		abort_conn(conn, "a packet that does not fit the connection's state");
		return;
	}
	if (event == VSOCK_DATA)
		deliver(conn, header, data, count);
	if (header->op == VSOCK_OP_CREDIT_REQUEST)
		conn->credit_owed = true;
	if (credit(conn) > 0)
		conn->asked = false;
}

static bool wants_data(const struct vsock_conn *conn)
{
	return reads_host(conn) && conn->host_readable;
}

static bool wants_to_ask(const struct vsock_conn *conn)
{
	return wants_data(conn) && credit(conn) == 0 && !conn->asked;
}

size_t vsock_conn_data_limit(const struct vsock_conn *conn)
{
	if (!wants_data(conn))
		return 0;
	return credit(conn) < DATA_MAX ? credit(conn) : DATA_MAX;
}

bool vsock_conn_wants_rx(const struct vsock_conn *conn)
{
	if (conn->state == VSOCK_CONNECTING)
		return conn->request_owed;
	if (!vsock_conn_has_guest(conn))
		return false;
	return conn->tell != conn->told || conn->credit_owed || vsock_conn_data_limit(conn) > 0 || wants_to_ask(conn);
}

/* Reads from the socket into `room`. Returns the bytes, 0 if there are none; the end of file is an event. */
static size_t read_host(struct vsock_conn *conn, const struct iovec *room, unsigned count)
{
	size_t wanted = 0;

	for (unsigned i = 0; i < count; i++)
		wanted += room[i].iov_len;
	if (wanted == 0)
		return 0;
	ssize_t n = readv(conn->fd, room, (int)count);
	if (n > 0) {
		conn->sent += (uint32_t)n;
		/* A short read emptied the socket, most likely. If not, it is level-triggered and will say so. */
		conn->host_readable = (size_t)n == wanted || conn->hung_up;
		return (size_t)n;
	}
	conn->host_readable = false;
	if (n < 0 && (errno == EAGAIN || errno == EINTR) && !conn->hung_up)
		return 0;
	vsock_conn_step(conn, VSOCK_HOST_EOF);
	return 0;
}

bool vsock_conn_fill(struct vsock_conn *conn, struct vsock_header *header, const struct iovec *room, unsigned count)
{
	header->op = VSOCK_OP_INVALID;
	header->len = 0;
	header->flags = 0;
	if (conn->state == VSOCK_CONNECTING) {
		if (!conn->request_owed)
			return false;
		conn->request_owed = false;
		conn->request_sent = true;
		header->op = VSOCK_OP_REQUEST;
	} else if (!vsock_conn_has_guest(conn)) {
		return false;
	}
	/* A shutdown before data: TELL_RECEIVE would wait behind a long stream. TELL_SEND comes after the last byte. */
	if (header->op == VSOCK_OP_INVALID && conn->tell == conn->told && vsock_conn_data_limit(conn) > 0) {
		header->len = (uint32_t)read_host(conn, room, count);
		if (header->len > 0)
			header->op = VSOCK_OP_RW;
	}
	if (header->op == VSOCK_OP_INVALID && conn->tell != conn->told) {
		conn->told = conn->tell;
		header->op = VSOCK_OP_SHUTDOWN;
		header->flags = conn->tell;
	}
	if (header->op == VSOCK_OP_INVALID && conn->credit_owed)
		header->op = VSOCK_OP_CREDIT_UPDATE;
	if (header->op == VSOCK_OP_INVALID && wants_to_ask(conn)) {
		conn->asked = true;
		header->op = VSOCK_OP_CREDIT_REQUEST;
	}
	if (header->op == VSOCK_OP_INVALID)
		return false;
	/* Every packet carries the credit. */
	header->buf_alloc = conn->buffer;
	header->fwd_cnt = conn->forwarded;
	conn->announced = conn->forwarded;
	conn->credit_owed = false;
	return true;
}
