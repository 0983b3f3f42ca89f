/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy's half of name look-ups, against a nameserver in this process and a guest that is well behaved or not. The
 * nameserver is at an address of the loopback that nobody else has, and port 53 needs a right that not every user has:
 * without it these tests are skipped.
 */
#include "runtime/nameservers.h"
#include "runtime/resolver_relay.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/proto.h"

#include "agent.pb.h"

#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

struct fixture {
	struct loop *loop;
	struct resolver_relay *relay;
	int guest; /* the other end of its connection */
	int udp, tcp;
	uint32_t address;
};

static int bind_at(int type, uint32_t address)
{
	const struct sockaddr_in name = {
		.sin_family = AF_INET,
		.sin_port = htons(53),
		.sin_addr.s_addr = address,
	};
	int one = 1, fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (const struct sockaddr *)&name, sizeof name) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void read_exactly(int fd, void *to, size_t length)
{
	for (size_t at = 0; at < length;) {
		ssize_t n = recv(fd, (char *)to + at, length - at, 0);

		assert_true(n > 0);
		at += (size_t)n;
	}
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct err err = ERR_INIT;
	struct nameservers allowed = { .count = 1 };
	struct timeval limit = { .tv_sec = 20 };
	char line[32] = "";
	int pair[2];

	log_setup("test", -1, LOG_TEXT, LOG_ERROR);
	f->address = htonl(INADDR_LOOPBACK + 0x5a0000 + ((unsigned)getpid() & 0xffff) * 4);
	f->udp = bind_at(SOCK_DGRAM, f->address);
	f->tcp = bind_at(SOCK_STREAM, f->address);
	*state = f;
	if (f->udp < 0 || f->tcp < 0)
		return 0;
	assert_int_equal(listen(f->tcp, 8), 0);
	allowed.addresses[0] = f->address;
	f->loop = loop_create(&err);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	f->guest = pair[1];
	setsockopt(f->guest, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	f->relay = resolver_relay_create(f->loop, pair[0], &err);
	assert_non_null(f->relay);
	resolver_relay_allow(f->relay, &allowed);
	read_exactly(f->guest, line, strlen("CONNECT 1026\n"));
	assert_string_equal(line, "CONNECT 1026\n");
	assert_int_equal(send(f->guest, "OK 7\n", 5, 0), 5);
	loop_step(f->loop, 1000);
	uint8_t packed[PROTO_HEADER_SIZE], payload[64];
	struct proto_header header;
	read_exactly(f->guest, packed, sizeof packed);
	assert_true(proto_unpack_header(packed, &header));
	assert_int_equal(header.type, PROTO_HELLO);
	read_exactly(f->guest, payload, header.length);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	resolver_relay_destroy(f->relay);
	loop_destroy(f->loop);
	if (f->relay)
		close(f->guest);
	close_fd(&f->udp);
	close_fd(&f->tcp);
	free(f);
	return 0;
}

static void need_port(struct fixture *f)
{
	if (!f->relay)
		skip();
}

static void ask(struct fixture *f, uint32_t id, unsigned how, uint32_t address, const char *text)
{
	struct proto_header header = { .type = PROTO_LOOKUP, .id = id };
	uint8_t frame[PROTO_HEADER_SIZE + 600];

	header.length = (uint32_t)(PROTO_LOOKUP_HEAD + strlen(text));
	proto_pack_header(frame, &header);
	frame[PROTO_HEADER_SIZE] = (uint8_t)how;
	memcpy(frame + PROTO_HEADER_SIZE + 1, &address, sizeof address);
	memcpy(frame + PROTO_HEADER_SIZE + PROTO_LOOKUP_HEAD, text, strlen(text));
	assert_int_equal(send(f->guest, frame, PROTO_HEADER_SIZE + header.length, 0),
			 PROTO_HEADER_SIZE + header.length);
	loop_step(f->loop, 1000);
}

static void expect_answer(struct fixture *f, uint32_t id, const char *text)
{
	uint8_t packed[PROTO_HEADER_SIZE];
	struct proto_header header;
	char payload[65536] = "";

	read_exactly(f->guest, packed, sizeof packed);
	assert_true(proto_unpack_header(packed, &header));
	assert_int_equal(header.type, PROTO_LOOKUP_REPLY);
	assert_int_equal(header.id, id);
	read_exactly(f->guest, payload, header.length);
	payload[header.length] = '\0';
	assert_string_equal(payload, text);
}

static struct sockaddr_in expect_datagram(struct fixture *f, const char *text)
{
	struct sockaddr_in from;
	socklen_t length = sizeof from;
	char got[600] = "";

	assert_int_equal(recvfrom(f->udp, got, sizeof got - 1, 0, (struct sockaddr *)&from, &length), strlen(text));
	assert_string_equal(got, text);
	return from;
}

static void test_relay_datagram_is_answered(void **state)
{
	struct fixture *f = *state;

	need_port(f);
	ask(f, 7, PROTO_LOOKUP_UDP, f->address, "who is x");
	ask(f, 8, PROTO_LOOKUP_UDP, f->address, "who is y");
	struct sockaddr_in first = expect_datagram(f, "who is x");
	struct sockaddr_in second = expect_datagram(f, "who is y");
	assert_int_not_equal(first.sin_port, second.sin_port);
	/* In any order. */
	assert_true(sendto(f->udp, "y is me", 7, 0, (struct sockaddr *)&second, sizeof second) == 7);
	loop_step(f->loop, 1000);
	expect_answer(f, 8, "y is me");
	assert_true(sendto(f->udp, "x is you", 8, 0, (struct sockaddr *)&first, sizeof first) == 8);
	loop_step(f->loop, 1000);
	expect_answer(f, 7, "x is you");
}

static void test_relay_stream_is_answered(void **state)
{
	struct fixture *f = *state;
	uint8_t got[64] = { 0 };

	need_port(f);
	ask(f, 9, PROTO_LOOKUP_TCP, f->address, "long?");
	auto_fd int server = accept4(f->tcp, NULL, NULL, SOCK_CLOEXEC);
	assert_true(server >= 0);
	loop_step(f->loop, 1000);
	read_exactly(server, got, 7);
	assert_memory_equal(got, "\0\5long?", 7);
	/* In pieces. */
	assert_int_equal(send(server, "\0", 1, 0), 1);
	loop_step(f->loop, 1000);
	assert_int_equal(send(server, "\4ye", 3, 0), 3);
	loop_step(f->loop, 1000);
	loop_step(f->loop, 0);
	assert_int_equal(send(server, "s!", 2, 0), 2);
	for (int i = 0; i < 4; i++)
		loop_step(f->loop, 50);
	expect_answer(f, 9, "yes!");
}

static void test_relay_other_addresses_are_not_asked(void **state)
{
	struct fixture *f = *state;
	uint32_t other = htonl(ntohl(f->address) + 1);
	auto_fd int elsewhere = bind_at(SOCK_DGRAM, other);
	char byte;

	need_port(f);
	ask(f, 1, PROTO_LOOKUP_UDP, other, "psst");
	expect_answer(f, 1, "");
	assert_int_equal(recv(elsewhere, &byte, 1, MSG_DONTWAIT), -1);
	ask(f, 2, PROTO_LOOKUP_TCP, inet_addr("10.0.0.1"), "psst");
	expect_answer(f, 2, "");
	/* What was allowed may be taken back. */
	resolver_relay_allow(f->relay, &(struct nameservers){ .count = 0 });
	ask(f, 3, PROTO_LOOKUP_UDP, f->address, "psst");
	expect_answer(f, 3, "");
	assert_int_equal(recv(f->udp, &byte, 1, MSG_DONTWAIT), -1);
}

static void test_relay_too_many_questions_are_answered_with_nothing(void **state)
{
	struct fixture *f = *state;

	need_port(f);
	for (uint32_t i = 0; i < RELAY_QUESTIONS_MAX; i++)
		ask(f, i, PROTO_LOOKUP_UDP, f->address, "flood");
	ask(f, 1000, PROTO_LOOKUP_UDP, f->address, "one more");
	expect_answer(f, 1000, "");
	/* One that is answered makes room. */
	struct sockaddr_in from = expect_datagram(f, "flood");
	assert_true(sendto(f->udp, "ok", 2, 0, (struct sockaddr *)&from, sizeof from) == 2);
	loop_step(f->loop, 1000);
	expect_answer(f, 0, "ok");
	ask(f, 1001, PROTO_LOOKUP_UDP, f->address, "again");
	for (uint32_t i = 1; i < RELAY_QUESTIONS_MAX; i++)
		expect_datagram(f, "flood");
	expect_datagram(f, "again");
}

static void test_relay_refused_question_is_answered_with_nothing(void **state)
{
	struct fixture *f = *state;

	need_port(f);
	close_fd(&f->udp);
	close_fd(&f->tcp);
	ask(f, 4, PROTO_LOOKUP_UDP, f->address, "anybody?");
	loop_step(f->loop, 1000);
	expect_answer(f, 4, "");
	ask(f, 5, PROTO_LOOKUP_TCP, f->address, "anybody?");
	loop_step(f->loop, 1000);
	expect_answer(f, 5, "");
}

static void test_relay_guest_that_does_not_read_is_given_up(void **state)
{
	struct fixture *f = *state;
	static char large[60000];
	uint8_t ignored[65536];
	unsigned asked = 0;
	ssize_t n;

	need_port(f);
	while (asked < 60) {
		ask(f, asked++, PROTO_LOOKUP_UDP, f->address, "a lot?");
		struct sockaddr_in from = expect_datagram(f, "a lot?");
		assert_true(sendto(f->udp, large, sizeof large, 0, (struct sockaddr *)&from, sizeof from) > 0);
		loop_step(f->loop, 1000);
		/* Over: what was not sent by then is not sent any more, and the connection is closed. */
		if (recv(f->guest, ignored, 1, MSG_PEEK | MSG_DONTWAIT) > 0 &&
		    send(f->guest, "", 0, MSG_NOSIGNAL) < 0 && errno == EPIPE)
			break;
	}
	assert_in_range(asked, 10, 40);
	while ((n = recv(f->guest, ignored, sizeof ignored, 0)) > 0)
		;
	assert_true(n == 0 || errno == ECONNRESET);
}

static size_t allocated(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

/* Fixed: what the guest had read stayed allocated for as long as it had something left to read. */
static void test_relay_guest_that_always_leaves_something_costs_no_more_than_that(void **state)
{
	enum { AHEAD = 12, QUESTIONS = 150, SIZE = 60000 };
	struct fixture *f = *state;
	static char large[SIZE];
	uint8_t ignored[PROTO_HEADER_SIZE + SIZE];
	size_t before = allocated();

	need_port(f);
	for (uint32_t asked = 0; asked < QUESTIONS; asked++) {
		ask(f, asked, PROTO_LOOKUP_UDP, f->address, "a lot?");
		struct sockaddr_in from = expect_datagram(f, "a lot?");
		assert_true(sendto(f->udp, large, sizeof large, 0, (struct sockaddr *)&from, sizeof from) > 0);
		loop_step(f->loop, 1000);
		if (asked < AHEAD)
			continue;
		read_exactly(f->guest, ignored, sizeof ignored);
		loop_step(f->loop, 0);
	}
	assert_in_range(allocated(), 0, before + 3 * AHEAD * SIZE);
}

static void test_relay_nonsense_ends_the_connection(void **state)
{
	struct fixture *f = *state;
	struct proto_header header = { .type = PROTO_LOOKUP, .length = PROTO_LOOKUP_HEAD };
	uint8_t frame[PROTO_HEADER_SIZE + PROTO_LOOKUP_HEAD] = { 0 };
	char byte;

	need_port(f);
	proto_pack_header(frame, &header);
	assert_int_equal(send(f->guest, frame, sizeof frame, 0), sizeof frame);
	loop_step(f->loop, 1000);
	assert_int_equal(recv(f->guest, &byte, 1, 0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_relay_datagram_is_answered),
		TEST(test_relay_stream_is_answered),
		TEST(test_relay_other_addresses_are_not_asked),
		TEST(test_relay_too_many_questions_are_answered_with_nothing),
		TEST(test_relay_refused_question_is_answered_with_nothing),
		TEST(test_relay_guest_that_does_not_read_is_given_up),
		TEST(test_relay_guest_that_always_leaves_something_costs_no_more_than_that),
		TEST(test_relay_nonsense_ends_the_connection),
	};

	return cmocka_run_group_tests_name("resolver_relay", tests, NULL, NULL);
}
