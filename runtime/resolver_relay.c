/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/resolver_relay.h"

#include "runtime/nameservers.h"
#include "runtime/proxy_channel.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/proto.h"

#include "agent.pb.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>

enum { HELLO_ID = 1, DNS_PORT = 53, PREFIX = 2, UNFETCHED_MAX = 1 << 20 };

struct question {
	struct resolver_relay *relay;
	bool is_used, is_stream;
	uint32_t id; /* the agent's */
	int64_t deadline_ns;
	int fd;
	struct loop_watch *watch;
	/* A stream's: what goes out, then what came in, each with its length before it. */
	uint8_t *bytes;
	size_t length, done;
	bool is_reading;
};

struct resolver_relay {
	struct loop *loop;
	struct channel *channel; /* NULL: it has ended */
	int timer_fd;
	struct loop_watch *timer_watch;
	struct nameservers allowed;
	struct question questions[RELAY_QUESTIONS_MAX];
};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* --- ends ---------------------------------------------------------------------------------------------------- */

static void drop(struct question *question)
{
	loop_remove(question->relay->loop, question->watch);
	close_fd(&question->fd);
	free(question->bytes);
	question->bytes = NULL;
	question->watch = NULL;
	question->is_used = false;
}

static void give_up(struct resolver_relay *relay, const char *why)
{
	log_debug("names: %s", why);
	for (unsigned i = 0; i < RELAY_QUESTIONS_MAX; i++)
		if (relay->questions[i].is_used)
			drop(&relay->questions[i]);
	channel_destroy(relay->channel);
	relay->channel = NULL;
}

/* May end everything. Empty: there is no answer. */
static void answer(struct resolver_relay *relay, uint32_t id, const void *message, size_t length)
{
	struct err err = ERR_INIT;

	if (channel_unsent(relay->channel) > UNFETCHED_MAX)
		give_up(relay, "the guest does not fetch its answers");
	else if (channel_send_raw(relay->channel, PROTO_LOOKUP_REPLY, id, length ? message : "", length, "", 0, &err) <
		 0)
		give_up(relay, err.text);
}

static void finish(struct question *question, const void *message, size_t length)
{
	struct resolver_relay *relay = question->relay;
	uint32_t id = question->id;

	answer(relay, id, message, length);
	if (question->is_used)
		drop(question);
}

/* --- one question -------------------------------------------------------------------------------------------- */

static void datagram_came(struct question *question)
{
	uint8_t message[PROTO_LOOKUP_REPLY_MAX];
	ssize_t n = recv(question->fd, message, sizeof message, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	finish(question, message, n > 0 ? (size_t)n : 0);
}

static bool begin_reading(struct question *question)
{
	uint8_t *bytes = malloc(PREFIX + PROTO_LOOKUP_REPLY_MAX);

	free(question->bytes);
	question->bytes = bytes;
	question->length = PREFIX;
	question->done = 0;
	question->is_reading = true;
	return bytes && loop_change(question->relay->loop, question->watch, EPOLLIN) == 0;
}

/* 1: all of it is through; 0: not yet; -1: the nameserver does not go on. */
static int move(struct question *question)
{
	uint8_t *at = question->bytes + question->done;
	size_t left = question->length - question->done;
	ssize_t n = question->is_reading ? recv(question->fd, at, left, MSG_DONTWAIT)
					 : send(question->fd, at, left, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (n == 0)
		return -1;
	question->done += (size_t)n;
	return question->done == question->length;
}

static void stream_ready(struct question *question)
{
	int result = move(question);

	if (result == 0)
		return;
	if (result > 0 && !question->is_reading) {
		if (begin_reading(question))
			return;
	} else if (result > 0 && question->length == PREFIX) {
		question->length += (size_t)question->bytes[0] << 8 | question->bytes[1];
		if (question->length > PREFIX)
			return;
	} else if (result > 0) {
		finish(question, question->bytes + PREFIX, question->length - PREFIX);
		return;
	}
	finish(question, NULL, 0);
}

static void socket_ready(void *arg, uint32_t events)
{
	struct question *question = arg;

	(void)events;
	if (question->is_stream)
		stream_ready(question);
	else
		datagram_came(question);
}

/* Whoever sends from another address than was asked is not heard: the socket is connected. */
static int open_socket(struct question *question, uint32_t address)
{
	const struct sockaddr_in server = {
		.sin_family = AF_INET,
		.sin_port = htons(DNS_PORT),
		.sin_addr.s_addr = address,
	};
	int type = question->is_stream ? SOCK_STREAM : SOCK_DGRAM;
	auto_fd int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || (connect(fd, (const struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS))
		return -1;
	return take_fd(&fd);
}

static bool begin_stream(struct question *question, const uint8_t *message, size_t length)
{
	question->length = PREFIX + length;
	question->bytes = malloc(question->length);
	if (!question->bytes)
		return false;
	question->bytes[0] = (uint8_t)(length >> 8);
	question->bytes[1] = (uint8_t)length;
	memcpy(question->bytes + PREFIX, message, length);
	return true;
}

static bool begin(struct question *question, uint32_t address, const uint8_t *message, size_t length)
{
	question->fd = open_socket(question, address);
	if (question->fd < 0)
		return false;
	if (question->is_stream ? !begin_stream(question, message, length)
				: send(question->fd, message, length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return false;
	question->watch = loop_add_fd(question->relay->loop, question->fd, question->is_stream ? EPOLLOUT : EPOLLIN,
				      socket_ready, question);
	return question->watch;
}

/* --- the clock ----------------------------------------------------------------------------------------------- */

/* For the question that is to end first, if there is one. */
static void set_timer(struct resolver_relay *relay)
{
	struct itimerspec when = { 0 };
	int64_t first = INT64_MAX;

	for (unsigned i = 0; i < RELAY_QUESTIONS_MAX; i++)
		if (relay->questions[i].is_used && relay->questions[i].deadline_ns < first)
			first = relay->questions[i].deadline_ns;
	if (first != INT64_MAX)
		when.it_value = (struct timespec){ .tv_sec = first / 1000000000, .tv_nsec = first % 1000000000 };
	timerfd_settime(relay->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void time_passed(void *arg, uint32_t events)
{
	struct resolver_relay *relay = arg;
	int64_t now = now_ns();
	uint64_t count;

	(void)events;
	if (read(relay->timer_fd, &count, sizeof count) != (ssize_t)sizeof count)
		return;
	for (unsigned i = 0; i < RELAY_QUESTIONS_MAX; i++)
		if (relay->questions[i].is_used && relay->questions[i].deadline_ns <= now)
			finish(&relay->questions[i], NULL, 0);
	set_timer(relay);
}

/* --- from the guest ------------------------------------------------------------------------------------------ */

static struct question *find_free(struct resolver_relay *relay)
{
	for (unsigned i = 0; i < RELAY_QUESTIONS_MAX; i++)
		if (!relay->questions[i].is_used)
			return &relay->questions[i];
	return NULL;
}

static void ask(struct resolver_relay *relay, uint32_t id, const uint8_t *payload, size_t length)
{
	struct question *question = find_free(relay);
	uint32_t address;

	memcpy(&address, payload + 1, sizeof address);
	if (!question || !nameservers_have(&relay->allowed, address)) {
		answer(relay, id, NULL, 0);
		return;
	}
	*question = (struct question){
		.relay = relay,
		.is_used = true,
		.is_stream = payload[0] == PROTO_LOOKUP_TCP,
		.id = id,
		.fd = -1,
		.deadline_ns = now_ns() + RELAY_SECONDS * 1000000000ll,
	};
	if (!begin(question, address, payload + PROTO_LOOKUP_HEAD, length - PROTO_LOOKUP_HEAD))
		finish(question, NULL, 0);
	else
		set_timer(relay);
}

static void channel_opened(void *arg)
{
	struct resolver_relay *relay = arg;
	agent_Hello hello = { .version = PROTO_VERSION };
	struct err err = ERR_INIT;

	if (channel_send(relay->channel, PROTO_HELLO, HELLO_ID, agent_Hello_fields, &hello, &err) < 0)
		give_up(relay, err.text);
}

static void channel_received(void *arg, const struct proto_header *header, const uint8_t *payload)
{
	struct resolver_relay *relay = arg;

	if (header->type == PROTO_LOOKUP && header->length > PROTO_LOOKUP_HEAD)
		ask(relay, header->id, payload, header->length);
	else if (header->type != PROTO_HELLO_REPLY)
		give_up(relay, "the guest sent something that is no question");
}

static void channel_closed(void *arg, const char *why)
{
	give_up(arg, why);
}

static const struct channel_callbacks callbacks = { channel_opened, channel_received, channel_closed };

/* --- life ---------------------------------------------------------------------------------------------------- */

void resolver_relay_allow(struct resolver_relay *relay, const struct nameservers *nameservers)
{
	relay->allowed = *nameservers;
}

struct resolver_relay *resolver_relay_create(struct loop *loop, int socket_fd, struct err *err)
{
	auto_fd int fd = socket_fd;
	struct resolver_relay *relay = calloc(1, sizeof *relay);

	if (!relay) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	relay->loop = loop;
	relay->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	relay->timer_watch =
		relay->timer_fd >= 0 ? loop_add_fd(loop, relay->timer_fd, EPOLLIN, time_passed, relay) : NULL;
	if (!relay->timer_watch)
		err_set_errno(err, "cannot wait for nameservers");
	else
		relay->channel = channel_open(loop, take_fd(&fd), AGENT_PORT_RESOLVER, &callbacks, relay, err);
	if (relay->channel)
		return relay;
	resolver_relay_destroy(relay);
	return NULL;
}

void resolver_relay_destroy(struct resolver_relay *relay)
{
	if (!relay)
		return;
	give_up(relay, "no more look-ups");
	loop_remove(relay->loop, relay->timer_watch);
	close_fd(&relay->timer_fd);
	free(relay);
}
