/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent in a nameserver's place: questions of programs by UDP and TCP go to the proxy and answers come back, and
 * programs that misbehave harm only themselves. What needs the guest's kernel (the filters) is left out: programs ask
 * at the port where the agent listens.
 */
#include "guest-agent/resolver.c"
#include "guest-agent/resolver_stream.c"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { LOOKUPS_MAX = 200, MESSAGE_MAX = 256 };

/* What the agent has sent to the proxy. */
static struct lookup {
	uint32_t id, address;
	unsigned how;
	char message[MESSAGE_MAX];
} lookups[LOOKUPS_MAX];
static unsigned lookup_count;
static uint16_t filtered_port;

/* --- what the agent has otherwise ---------------------------------------------------------------------------- */

void conn_send(struct conn *conn, uint16_t type, uint32_t id, uint8_t *frame, size_t length)
{
	struct lookup *lookup = &lookups[lookup_count++];
	const uint8_t *payload = frame + PROTO_HEADER_SIZE;

	(void)conn;
	assert_int_equal(type, PROTO_LOOKUP);
	assert_true(lookup_count <= LOOKUPS_MAX && proto_length_is_valid(type, (uint32_t)length));
	*lookup = (struct lookup){ .id = id, .how = payload[0] };
	memcpy(&lookup->address, payload + 1, sizeof lookup->address);
	snprintf(lookup->message, MESSAGE_MAX, "%.*s", (int)(length - PROTO_LOOKUP_HEAD),
		 (const char *)payload + PROTO_LOOKUP_HEAD);
}

int listener_create(struct agent *agent, enum conn_kind kind, struct err *err)
{
	(void)agent;
	(void)err;
	assert_int_equal(kind, CONN_RESOLVER);
	return 0;
}

int resolver_filter_attach(int cgroup_fd, const uint32_t *addresses, size_t count, uint16_t port,
			   int fds[RESOLVER_FILTERS], struct err *err)
{
	(void)cgroup_fd;
	(void)addresses;
	(void)count;
	(void)fds;
	(void)err;
	filtered_port = port;
	return 0;
}

void resolver_filter_detach(int cgroup_fd, int fds[RESOLVER_FILTERS])
{
	(void)cgroup_fd;
	(void)fds;
}

int errtext_set(struct err *err, const char *format, ...)
{
	return err_set_errno(err, "%s", format);
}

/* --- the tests ----------------------------------------------------------------------------------------------- */

static int proxy; /* only its address counts */

struct fixture {
	struct agent agent;
	struct sockaddr_in server; /* where programs ask */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct err err = ERR_INIT;
	uint32_t address = htonl(INADDR_LOOPBACK + 0x5b0000);

	f->agent.loop = loop_create(&err);
	f->agent.cgroup_fd = -1;
	lookup_count = 0;
	assert_int_equal(resolver_set(&f->agent, &address, 1, &err), 0);
	f->server = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(filtered_port),
		.sin_addr.s_addr = address,
	};
	resolver_connected(&f->agent, (struct conn *)&proxy);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;

	assert_int_equal(resolver_set(&f->agent, NULL, 0, &err), 0);
	free(f->agent.resolver);
	loop_destroy(f->agent.loop);
	free(f);
	return 0;
}

static void turn(struct fixture *f)
{
	for (int i = 0; i < 6; i++)
		loop_step(f->agent.loop, i ? 0 : 1000);
}

static int dial(struct fixture *f, int type)
{
	struct timeval limit = { .tv_sec = 10 };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&f->server, sizeof f->server), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	return fd;
}

static void say(struct fixture *f, int fd, const char *bytes, size_t length)
{
	assert_int_equal(send(fd, bytes, length, MSG_NOSIGNAL), length);
	turn(f);
}

static void answer(struct fixture *f, unsigned number, const char *text)
{
	resolver_answered(&f->agent, lookups[number].id, (const uint8_t *)text, strlen(text));
}

static void expect(int fd, const char *bytes, size_t length)
{
	char got[64];

	assert_int_equal(recv(fd, got, sizeof got, 0), length);
	assert_memory_equal(got, bytes, length);
}

static void test_resolver_datagrams_are_asked_and_answered(void **state)
{
	struct fixture *f = *state;
	auto_fd int one = dial(f, SOCK_DGRAM);
	auto_fd int two = dial(f, SOCK_DGRAM);

	say(f, one, "first?", 6);
	say(f, two, "second?", 7);
	assert_int_equal(lookup_count, 2);
	assert_string_equal(lookups[0].message, "first?");
	assert_int_equal(lookups[0].how, PROTO_LOOKUP_UDP);
	assert_int_equal(lookups[0].address, f->server.sin_addr.s_addr);
	answer(f, 1, "two");
	answer(f, 0, "one");
	expect(one, "one", 3);
	expect(two, "two", 3);
	/* Once: a second answer is nobody's. */
	answer(f, 0, "again");
	assert_int_equal(recv(one, &(char){ 0 }, 1, MSG_DONTWAIT), -1);
	/* Nor is one with a number that was never given. */
	resolver_answered(&f->agent, 0xffffffff, (const uint8_t *)"x", 1);
}

static void test_resolver_stream_asks_one_after_the_other(void **state)
{
	struct fixture *f = *state;
	auto_fd int fd = dial(f, SOCK_STREAM);

	/* In pieces, and the second question already behind the first. */
	say(f, fd, "\0", 1);
	say(f, fd, "\5fir", 4);
	say(f, fd, "st\0\6second", 10);
	assert_int_equal(lookup_count, 1);
	assert_string_equal(lookups[0].message, "first");
	assert_int_equal(lookups[0].how, PROTO_LOOKUP_TCP);
	answer(f, 0, "one");
	expect(fd, "\0\3one", 5);
	turn(f);
	assert_int_equal(lookup_count, 2);
	assert_string_equal(lookups[1].message, "second");
	/* No answer: the connection ends. */
	answer(f, 1, "");
	assert_int_equal(recv(fd, &(char){ 0 }, 1, 0), 0);
}

static void test_resolver_stream_of_nonsense_ends(void **state)
{
	struct fixture *f = *state;
	static const char *const beginnings[] = { "\0\0", "\xff\xff", "\x10\x01" };

	for (unsigned i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
		auto_fd int fd = dial(f, SOCK_STREAM);

		say(f, fd, beginnings[i], 2);
		assert_int_equal(recv(fd, &(char){ 0 }, 1, 0), 0);
	}
	assert_int_equal(lookup_count, 0);
}

static void test_resolver_stream_that_goes_leaves_its_answer_nowhere(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f, SOCK_STREAM);

	say(f, fd, "\0\2hi", 4);
	assert_int_equal(lookup_count, 1);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
	close(fd);
	turn(f);
	answer(f, 0, "too late");
	auto_fd int next = dial(f, SOCK_STREAM);
	say(f, next, "\0\2ho", 4);
	assert_int_equal(lookup_count, 2);
	answer(f, 1, "yes");
	expect(next, "\0\3yes", 5);
}

static void test_resolver_streams_are_few_and_the_oldest_goes(void **state)
{
	struct fixture *f = *state;
	int fds[RESOLVER_STREAMS_MAX + 1];

	for (unsigned i = 0; i < RESOLVER_STREAMS_MAX + 1; i++) {
		fds[i] = dial(f, SOCK_STREAM);
		turn(f);
	}
	assert_int_equal(recv(fds[0], &(char){ 0 }, 1, 0), 0);
	assert_int_equal(recv(fds[1], &(char){ 0 }, 1, MSG_DONTWAIT), -1);
	say(f, fds[RESOLVER_STREAMS_MAX], "\0\2hi", 4);
	assert_int_equal(lookup_count, 1);
	for (unsigned i = 0; i < RESOLVER_STREAMS_MAX + 1; i++)
		close(fds[i]);
	turn(f);
}

static void test_resolver_flood_is_dropped(void **state)
{
	struct fixture *f = *state;
	auto_fd int flood = dial(f, SOCK_DGRAM);
	auto_fd int other = dial(f, SOCK_DGRAM);

	for (int i = 0; i < QUESTIONS_MAX + 20; i++)
		say(f, flood, "x", 1);
	assert_int_equal(lookup_count, QUESTIONS_MAX);
	say(f, other, "me?", 3);
	assert_int_equal(lookup_count, QUESTIONS_MAX);
	/* One answer makes room for one question. */
	answer(f, 5, "y");
	expect(flood, "y", 1);
	say(f, other, "me?", 3);
	assert_int_equal(lookup_count, QUESTIONS_MAX + 1);
	assert_int_equal(lookups[QUESTIONS_MAX].id % QUESTIONS_MAX, lookups[5].id % QUESTIONS_MAX);
	assert_int_not_equal(lookups[QUESTIONS_MAX].id, lookups[5].id);
	/* The old number of that place is over. */
	answer(f, 5, "wrong");
	answer(f, QUESTIONS_MAX, "right");
	expect(other, "right", 5);
}

static void test_resolver_questions_wait_for_the_proxy(void **state)
{
	struct fixture *f = *state;
	auto_fd int datagram = dial(f, SOCK_DGRAM);
	auto_fd int stream = dial(f, SOCK_STREAM);

	say(f, stream, "\0\2hi", 4);
	assert_int_equal(lookup_count, 1);
	/* What was on its way to a proxy that has gone is lost; what comes then waits for the next. */
	resolver_disconnected(&f->agent, (struct conn *)&proxy);
	assert_int_equal(recv(stream, &(char){ 0 }, 1, 0), 0);
	say(f, datagram, "early?", 6);
	assert_int_equal(lookup_count, 1);
	resolver_connected(&f->agent, (struct conn *)&proxy);
	assert_int_equal(lookup_count, 2);
	answer(f, 1, "ok");
	expect(datagram, "ok", 2);
	/* Somebody else's connection that ends is no matter. */
	resolver_disconnected(&f->agent, (struct conn *)&lookup_count);
	say(f, datagram, "more?", 5);
	assert_int_equal(lookup_count, 3);
}

static void test_resolver_other_addresses_replace_the_first(void **state)
{
	struct fixture *f = *state;
	uint32_t addresses[2] = { f->server.sin_addr.s_addr, htonl(INADDR_LOOPBACK + 0x5b0005) };
	struct err err = ERR_INIT;

	filtered_port = 0;
	assert_int_equal(resolver_set(&f->agent, addresses, 1, &err), 0);
	assert_int_equal(filtered_port, 0); /* the same as before: nothing is done */
	assert_int_equal(resolver_set(&f->agent, addresses, 2, &err), 0);
	assert_int_not_equal(filtered_port, 0);
	f->server.sin_port = htons(filtered_port);
	f->server.sin_addr.s_addr = addresses[1];
	auto_fd int fd = dial(f, SOCK_DGRAM);
	say(f, fd, "second?", 7);
	assert_int_equal(lookup_count, 1);
	assert_int_equal(lookups[0].address, addresses[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_resolver_datagrams_are_asked_and_answered),
		TEST(test_resolver_stream_asks_one_after_the_other),
		TEST(test_resolver_stream_of_nonsense_ends),
		TEST(test_resolver_stream_that_goes_leaves_its_answer_nowhere),
		TEST(test_resolver_streams_are_few_and_the_oldest_goes),
		TEST(test_resolver_flood_is_dropped),
		TEST(test_resolver_questions_wait_for_the_proxy),
		TEST(test_resolver_other_addresses_replace_the_first),
	};

	return cmocka_run_group_tests_name("agent_resolver", tests, NULL, NULL);
}
