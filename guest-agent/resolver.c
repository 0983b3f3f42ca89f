/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/resolver.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/proto.h"
#include "guest-agent/agent.h"
#include "guest-agent/conn.h"
#include "guest-agent/errtext.h"
#include "guest-agent/listener.h"
#include "guest-agent/resolver_filter.h"
#include "guest-agent/resolver_stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { QUESTIONS_MAX = 64, PORT_TRIES = 8, BACKLOG = 16, DATAGRAMS_PER_CALL = 16 };

/* One nameserver that we stand for. */
struct place {
	struct resolver *resolver;
	uint32_t address;
	int udp_fd, tcp_fd;
	struct loop_watch *udp_watch, *tcp_watch;
};

/* A question on its way. Its number on the connection is its place here and how often that was used. */
struct question {
	bool is_used;
	uint32_t turn;
	uint32_t address;
	int udp_fd;                     /* where its answer goes out; -1: it came by TCP */
	struct sockaddr_in from;        /* UDP */
	struct resolver_stream *stream; /* TCP; NULL when that has gone */
	uint8_t *frame;                 /* while there is nobody to send it to */
	size_t length;
};

struct resolver {
	struct agent *agent;
	struct conn *conn; /* to the proxy; NULL: not yet, or not any more */
	bool is_listening;
	struct place places[RESOLVER_ADDRESSES_MAX];
	size_t place_count;
	struct question questions[QUESTIONS_MAX];
	struct resolver_streams streams;
	int filters[RESOLVER_FILTERS];
};

/* --- questions ----------------------------------------------------------------------------------------------- */

static uint32_t number_of(const struct resolver *resolver, const struct question *question)
{
	return (uint32_t)(question - resolver->questions) | question->turn * QUESTIONS_MAX;
}

static struct question *find_free(struct resolver *resolver)
{
	for (unsigned i = 0; i < QUESTIONS_MAX; i++)
		if (!resolver->questions[i].is_used)
			return &resolver->questions[i];
	return NULL;
}

static void end_question(struct question *question)
{
	free(question->frame);
	*question = (struct question){ .turn = question->turn + 1 };
}

static void send_question(struct resolver *resolver, struct question *question)
{
	auto_free uint8_t *frame = take_ptr(&question->frame);

	conn_send(resolver->conn, PROTO_LOOKUP, number_of(resolver, question), frame, question->length);
}

/* `question` says where from. True: an answer will come, or the stream is told otherwise. */
static bool ask(struct resolver *resolver, const struct question *what, const uint8_t *message, size_t length)
{
	struct question *question = find_free(resolver);
	uint8_t *frame = question ? malloc(PROTO_HEADER_SIZE + PROTO_LOOKUP_HEAD + length) : NULL;

	if (!frame)
		return false;
	uint8_t *payload = frame + PROTO_HEADER_SIZE;
	uint32_t turn = question->turn;
	*question = *what;
	question->is_used = true;
	question->turn = turn;
	payload[0] = what->stream ? PROTO_LOOKUP_TCP : PROTO_LOOKUP_UDP;
	memcpy(payload + 1, &what->address, sizeof what->address);
	memcpy(payload + PROTO_LOOKUP_HEAD, message, length);
	question->frame = frame;
	question->length = PROTO_LOOKUP_HEAD + length;
	if (resolver->conn)
		send_question(resolver, question);
	return true;
}

void resolver_answered(struct agent *agent, uint32_t id, const uint8_t *message, size_t length)
{
	struct resolver *resolver = agent->resolver;
	struct question *question = resolver ? &resolver->questions[id % QUESTIONS_MAX] : NULL;

	if (!question || !question->is_used || number_of(resolver, question) != id)
		return;
	struct question ended = *question;
	end_question(question);
	if (ended.stream)
		resolver_stream_answer(ended.stream, message, length);
	else if (ended.udp_fd >= 0 && length)
		/* A program that does not take it asks again, or has gone. */
		(void)sendto(ended.udp_fd, message, length, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&ended.from,
			     sizeof ended.from);
}

/* --- where they come from ------------------------------------------------------------------------------------ */

static void datagram_came(void *arg, uint32_t events)
{
	struct place *place = arg;
	uint8_t message[PROTO_LOOKUP_MESSAGE_MAX + 1];

	(void)events;
	for (int i = 0; i < DATAGRAMS_PER_CALL; i++) {
		struct question question = { .address = place->address, .udp_fd = place->udp_fd };
		socklen_t from_length = sizeof question.from;
		ssize_t n = recvfrom(place->udp_fd, message, sizeof message, MSG_DONTWAIT,
				     (struct sockaddr *)&question.from, &from_length);

		if (n < 0)
			return;
		if (n > 0 && n <= (ssize_t)PROTO_LOOKUP_MESSAGE_MAX)
			(void)ask(place->resolver, &question, message, (size_t)n);
	}
}

static bool stream_asked(void *arg, struct resolver_stream *stream, uint32_t address, const uint8_t *message,
			 size_t length)
{
	const struct question question = { .address = address, .udp_fd = -1, .stream = stream };

	return ask(arg, &question, message, length);
}

static void stream_ended(void *arg, struct resolver_stream *stream)
{
	struct resolver *resolver = arg;

	for (unsigned i = 0; i < QUESTIONS_MAX; i++)
		if (resolver->questions[i].stream == stream)
			resolver->questions[i].stream = NULL;
}

static void connection_came(void *arg, uint32_t events)
{
	struct place *place = arg;
	int fd = accept4(place->tcp_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd >= 0)
		resolver_streams_add(&place->resolver->streams, fd, place->address);
}

/* --- listening ----------------------------------------------------------------------------------------------- */

static int bind_socket(int type, uint32_t address, uint16_t port)
{
	const struct sockaddr_in name = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = address,
	};
	auto_fd int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&name, sizeof name) < 0)
		return -1;
	return take_fd(&fd);
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in name = { 0 };
	socklen_t length = sizeof name;

	getsockname(fd, (struct sockaddr *)&name, &length);
	return ntohs(name.sin_port);
}

/* One port for both kinds. */
static int open_sockets(struct place *place, uint16_t port)
{
	place->tcp_fd = bind_socket(SOCK_STREAM, place->address, port);
	if (place->tcp_fd < 0)
		return -1;
	place->udp_fd = bind_socket(SOCK_DGRAM, place->address, port_of(place->tcp_fd));
	if (place->udp_fd < 0) {
		close_fd(&place->tcp_fd);
		return -1;
	}
	return 0;
}

static int listen_at(struct place *place, struct err *err)
{
	struct loop *loop = place->resolver->agent->loop;

	if (listen(place->tcp_fd, BACKLOG) < 0)
		return errtext_set(err, "listening in a nameserver's place");
	place->udp_watch = loop_add_fd(loop, place->udp_fd, EPOLLIN, datagram_came, place);
	place->tcp_watch = loop_add_fd(loop, place->tcp_fd, EPOLLIN, connection_came, place);
	if (!place->udp_watch || !place->tcp_watch)
		return errtext_set(err, "listening in a nameserver's place");
	return 0;
}

/* The first address finds the port, the others follow. */
static int open_places(struct resolver *resolver, const uint32_t *addresses, size_t count, uint16_t *port,
		       struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		struct place *place = &resolver->places[resolver->place_count];

		*place = (struct place){ .resolver = resolver, .address = addresses[i], .udp_fd = -1, .tcp_fd = -1 };
		int result = -1;
		for (int try = 0; try < PORT_TRIES && result < 0; try++)
			result = open_sockets(place, i ? *port : 0);
		if (result < 0)
			return errtext_set(err, "listening in a nameserver's place");
		resolver->place_count++;
		*port = port_of(place->tcp_fd);
		if (listen_at(place, err) < 0)
			return -1;
	}
	return 0;
}

static void close_places(struct resolver *resolver)
{
	struct loop *loop = resolver->agent->loop;

	resolver_filter_detach(resolver->agent->cgroup_fd, resolver->filters);
	resolver_streams_end(&resolver->streams);
	for (size_t i = 0; i < resolver->place_count; i++) {
		struct place *place = &resolver->places[i];

		loop_remove(loop, place->udp_watch);
		loop_remove(loop, place->tcp_watch);
		close_fd(&place->udp_fd);
		close_fd(&place->tcp_fd);
	}
	resolver->place_count = 0;
	for (unsigned i = 0; i < QUESTIONS_MAX; i++)
		if (resolver->questions[i].is_used)
			end_question(&resolver->questions[i]);
}

static struct resolver *make(struct agent *agent)
{
	struct resolver *resolver = calloc(1, sizeof *resolver);

	if (!resolver)
		return NULL;
	resolver->agent = agent;
	for (int i = 0; i < RESOLVER_FILTERS; i++)
		resolver->filters[i] = -1;
	resolver_streams_init(&resolver->streams, agent->loop, stream_asked, stream_ended, resolver);
	return resolver;
}

static bool is_same(const struct resolver *resolver, const uint32_t *addresses, size_t count)
{
	if (resolver->place_count != count)
		return false;
	for (size_t i = 0; i < count; i++)
		if (resolver->places[i].address != addresses[i])
			return false;
	return true;
}

int resolver_set(struct agent *agent, const uint32_t *addresses, size_t count, struct err *err)
{
	uint16_t port = 0;

	if (!agent->resolver)
		agent->resolver = make(agent);
	struct resolver *resolver = agent->resolver;
	if (!resolver)
		return err_set(err, ENOMEM, "listening in a nameserver's place: out of memory");
	if (is_same(resolver, addresses, count))
		return 0;
	close_places(resolver);
	if (!resolver->is_listening && listener_create(agent, CONN_RESOLVER, err) < 0)
		return -1;
	resolver->is_listening = true;
	if (count == 0)
		return 0;
	if (open_places(resolver, addresses, count, &port, err) < 0 ||
	    resolver_filter_attach(agent->cgroup_fd, addresses, count, port, resolver->filters, err) < 0) {
		close_places(resolver);
		return -1;
	}
	return 0;
}

/* --- the proxy ----------------------------------------------------------------------------------------------- */

void resolver_connected(struct agent *agent, struct conn *conn)
{
	struct resolver *resolver = agent->resolver;

	if (!resolver)
		return;
	resolver->conn = conn;
	for (unsigned i = 0; i < QUESTIONS_MAX; i++)
		if (resolver->questions[i].frame)
			send_question(resolver, &resolver->questions[i]);
}

void resolver_disconnected(struct agent *agent, const struct conn *conn)
{
	struct resolver *resolver = agent->resolver;

	if (!resolver || resolver->conn != conn)
		return;
	resolver->conn = NULL;
	for (unsigned i = 0; i < QUESTIONS_MAX; i++) {
		struct question *question = &resolver->questions[i];

		if (question->is_used)
			resolver_answered(agent, number_of(resolver, question), NULL, 0);
	}
}
