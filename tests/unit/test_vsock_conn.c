/* SPDX-License-Identifier: Apache-2.0 */
/* One vsock connection without a device: every cell of its state table, its greeting, its credit, its ends. */
#include "vmm/vsock_conn.h"
#include "vmm/vsock_packet.h"

#include "common/auto.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cmocka.h>

enum { BUFFER = 16 << 10, HOST_PORT = 77, GUEST_PORT = 1024 };

struct fixture {
	struct vsock_conn conn;
	int program; /* the host program's end */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	f->conn.fd = f->program = -1;
	*state = f;
	return 0;
}

static void stop(struct fixture *f)
{
	vsock_conn_destroy(&f->conn);
	close_fd(&f->program);
}

static int teardown(void **state)
{
	stop(*state);
	free(*state);
	return 0;
}

static void start(struct fixture *f)
{
	int pair[2], small = 4096;

	stop(f);
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), errno);
	/* So that a little data is enough to be held. */
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	vsock_conn_accept(&f->conn, pair[0], HOST_PORT, BUFFER);
	f->program = pair[1];
}

/* As virtio_vsock.c does, and epoll for it: what is waited for and there. */
static void run_socket(struct fixture *f)
{
	for (int round = 0; round < 1000; round++) {
		int interest = vsock_conn_interest(&f->conn);
		auto_fd int epoll = epoll_create1(EPOLL_CLOEXEC);
		struct epoll_event event = { .events = (uint32_t)interest };

		if (interest < 0) {
			vsock_conn_tidy(&f->conn);
			return;
		}
		epoll_ctl(epoll, EPOLL_CTL_ADD, f->conn.fd, &event);
		if (epoll_wait(epoll, &event, 1, 0) == 0)
			return;
		vsock_conn_socket_ready(&f->conn, event.events);
	}
	fail_msg("the socket's events never end");
}

static void program_writes(struct fixture *f, const char *text)
{
	assert_int_equal(write(f->program, text, strlen(text)), strlen(text));
	run_socket(f);
}

/* What the program can read now; "EOF" for the end. */
static const char *program_reads(struct fixture *f)
{
	static char text[4096];
	ssize_t n = read(f->program, text, sizeof text - 1);

	if (n == 0)
		return "EOF";
	if (n < 0)
		return errno == EAGAIN ? "" : strerror(errno);
	text[n] = '\0';
	return text;
}

static void guest_says(struct fixture *f, struct vsock_header header, const void *data)
{
	struct iovec segment = { .iov_base = (void *)(uintptr_t)data, .iov_len = header.len };

	if (!header.buf_alloc)
		header.buf_alloc = 1 << 20;
	vsock_conn_packet(&f->conn, &header, &segment, header.len ? 1 : 0);
}

static void guest_sends(struct fixture *f, const char *text)
{
	guest_says(f,
		   (struct vsock_header){
			   .op = VSOCK_OP_RW, .len = (uint32_t)strlen(text), .fwd_cnt = f->conn.peer_forwarded },
		   text);
}

static void guest_shuts(struct fixture *f, uint32_t flags)
{
	guest_says(f, (struct vsock_header){ .op = VSOCK_OP_SHUTDOWN, .flags = flags, .fwd_cnt = f->conn.sent }, NULL);
}

/* The next packet for the guest; its data as a string in `text`. VSOCK_OP_INVALID: none. */
static struct vsock_header next_packet(struct fixture *f, char *text, size_t room)
{
	struct vsock_header header = { 0 };
	size_t limit = vsock_conn_data_limit(&f->conn);
	struct iovec segment = { .iov_base = text, .iov_len = limit < room ? limit : room };

	if (!vsock_conn_fill(&f->conn, &header, &segment, segment.iov_len ? 1 : 0))
		return (struct vsock_header){ 0 };
	if (header.len < room)
		text[header.len] = '\0';
	return header;
}

static void expect_packet(struct fixture *f, enum vsock_op op)
{
	char text[256];
	struct vsock_header header = next_packet(f, text, sizeof text);

	if (header.op != op)
		fail_msg("expected the packet \"%s\", got \"%s\"", vsock_op_name(op), vsock_op_name(header.op));
}

static void expect_state(struct fixture *f, enum vsock_state state)
{
	if (f->conn.state != state)
		fail_msg("expected state \"%s\", is \"%s\"", vsock_state_name(state), vsock_state_name(f->conn.state));
}

static void open_conn(struct fixture *f)
{
	start(f);
	program_writes(f, "CONNECT 1024\n");
	expect_state(f, VSOCK_WAITING);
	assert_true(vsock_conn_step(&f->conn, VSOCK_READY));
	expect_packet(f, VSOCK_OP_REQUEST);
	guest_says(f, (struct vsock_header){ .op = VSOCK_OP_RESPONSE }, NULL);
	expect_state(f, VSOCK_OPEN);
	assert_string_equal(program_reads(f), "OK 77\n");
}

/* More than the socket takes, so that the rest is held. */
static size_t hold_some(struct fixture *f)
{
	static char block[BUFFER];
	size_t total = 0;

	while (f->conn.received - f->conn.forwarded == 0) {
		uint32_t length = sizeof block / 4;

		guest_says(f, (struct vsock_header){ .op = VSOCK_OP_RW, .len = length }, block);
		total += length;
		assert_true(total < 1 << 20);
	}
	return total;
}

/* --- the table --------------------------------------------------------------------------------------------------- */

static void reach(struct fixture *f, enum vsock_state state, bool held)
{
	if (state == VSOCK_FREE) {
		stop(f);
		return;
	}
	if (state < VSOCK_OPEN) {
		start(f);
		if (state >= VSOCK_WAITING)
			program_writes(f, "CONNECT 1024\n");
		if (state >= VSOCK_CONNECTING) {
			vsock_conn_step(&f->conn, VSOCK_READY);
			expect_packet(f, VSOCK_OP_REQUEST);
		}
		expect_state(f, state);
		return;
	}
	open_conn(f);
	if (held || state == VSOCK_DRAINING)
		hold_some(f);
	switch (state) {
	case VSOCK_TO_GUEST:
		vsock_conn_step(&f->conn, VSOCK_SHUT_SEND);
		break;
	case VSOCK_TO_HOST:
		vsock_conn_step(&f->conn, VSOCK_HOST_EOF);
		break;
	case VSOCK_CLOSING:
		vsock_conn_step(&f->conn, VSOCK_SHUT_SEND);
		vsock_conn_step(&f->conn, VSOCK_HOST_EOF);
		break;
	case VSOCK_DRAINING:
		vsock_conn_step(&f->conn, VSOCK_RST);
		break;
	default:
		break;
	}
	expect_state(f, state);
}

/*
 * The table once more, as letters, in the order of enum vsock_event:
 * line, host eof, host gone, ready, device reset, flushed, evict, abort,
 * request, response, RST, shut send, shut receive, shut both, data, credit.
 */
static const char letters[VSOCK_STATE_COUNT + 1] = "FGWCOghLD";
static const char *const expected[VSOCK_STATE_COUNT] = {
	[VSOCK_FREE] = "................",     [VSOCK_GREETING] = "W.F.G...........",
	[VSOCK_WAITING] = "..FCW...........",  [VSOCK_CONNECTING] = "..F.F..F.OF.....",
	[VSOCK_OPEN] = ".hg.D..D..DghDOO",     [VSOCK_TO_GUEST] = ".Lg.DgFD..DgLDgg",
	[VSOCK_TO_HOST] = "..L.D..D..DLhDhh",  [VSOCK_CLOSING] = "..L.DLFD..DLLDLL",
	[VSOCK_DRAINING] = "..F.DF..........",
};

static bool sends_rst(enum vsock_state state, enum vsock_event event)
{
	if (state == VSOCK_CONNECTING && event == VSOCK_HOST_GONE)
		return true;
	return event == VSOCK_ABORT || event == VSOCK_SHUT_BOTH || event == VSOCK_EVICT;
}

static void walk(struct fixture *f, bool held)
{
	for (unsigned s = 0; s < VSOCK_STATE_COUNT; s++) {
		assert_int_equal(strlen(expected[s]), VSOCK_EVENT_COUNT);
		for (unsigned e = 0; e < VSOCK_EVENT_COUNT; e++) {
			enum vsock_event event = (enum vsock_event)e;
			char want = expected[s][e];

			if (s == VSOCK_DRAINING && !held)
				continue; /* is over at once */
			reach(f, (enum vsock_state)s, held);
			bool ok = vsock_conn_step(&f->conn, event);
			if (want == 'D' && !held)
				want = 'F';
			char got = ok ? letters[f->conn.state] : '.';
			if (got != want)
				fail_msg("state \"%s\", event \"%s\"%s: expected %c, got %c", vsock_state_name(s),
					 vsock_event_name(event), held ? ", bytes held" : "", want, got);
			if (!ok) {
				expect_state(f, (enum vsock_state)s);
				continue;
			}
			if (f->conn.rst_owed != sends_rst((enum vsock_state)s, event))
				fail_msg("state \"%s\", event \"%s\": RST owed: %d", vsock_state_name(s),
					 vsock_event_name(event), f->conn.rst_owed);
			if (f->conn.state == VSOCK_FREE) {
				assert_int_equal(vsock_conn_interest(&f->conn), -1);
				assert_null(f->conn.ring);
				vsock_conn_tidy(&f->conn);
				assert_int_equal(f->conn.fd, -1);
			}
		}
	}
}

static void test_vsock_conn_every_cell_goes_where_the_table_says(void **state)
{
	walk(*state, false);
}

static void test_vsock_conn_every_cell_with_bytes_held_goes_where_the_table_says(void **state)
{
	walk(*state, true);
}

static void test_vsock_conn_names_exist(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VSOCK_STATE_COUNT; i++)
		assert_true(strlen(vsock_state_name((enum vsock_state)i)) > 2);
	for (unsigned i = 0; i < VSOCK_EVENT_COUNT; i++)
		assert_true(strlen(vsock_event_name((enum vsock_event)i)) > 2);
	assert_string_equal(vsock_state_name(VSOCK_STATE_COUNT), "unknown");
	assert_string_equal(vsock_event_name(VSOCK_EVENT_COUNT), "unknown");
	assert_string_equal(vsock_op_name(999), "unknown");
}

/* --- greeting ---------------------------------------------------------------------------------------------------- */

static void test_vsock_conn_greeting_of_any_form_is_judged(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *text;
		int64_t port; /* -1: refused, -2: more is awaited */
	} cases[] = {
		{ "CONNECT 1\n", 1 },
		{ "CONNECT 1024\r\n", 1024 },
		{ "CONNECT 4294967295\n", 4294967295 },
		{ "CONNECT 4294967296\n", -1 },
		{ "CONNECT 99999999999\n", -1 },
		{ "CONNECT -1\n", -1 },
		{ "CONNECT  1\n", -1 },
		{ "CONNECT 1 \n", -1 },
		{ "CONNECT \n", -1 },
		{ "CONNECT\n", -1 },
		{ "connect 1\n", -1 },
		{ "\n", -1 },
		{ "\r\n", -1 },
		{ "GET / HTTP/1.1\r\n", -1 },
		{ "CONNECT 1024", -2 },
		{ "CONNECT 0000000000000000000001024\n", -1 },
		{ "0123456789012345678901234567890123456789", -1 },
	};

	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		start(f);
		program_writes(f, cases[i].text);
		if (cases[i].port == -1) {
			expect_state(f, VSOCK_FREE);
			assert_string_equal(program_reads(f), "EOF");
		} else if (cases[i].port == -2) {
			expect_state(f, VSOCK_GREETING);
		} else {
			expect_state(f, VSOCK_WAITING);
			assert_int_equal(f->conn.guest_port, cases[i].port);
		}
	}
}

static void test_vsock_conn_greeting_in_single_bytes_is_understood(void **state)
{
	struct fixture *f = *state;

	start(f);
	for (const char *p = "CONNECT 1024\n"; *p; p++)
		program_writes(f, (char[]){ *p, '\0' });
	expect_state(f, VSOCK_WAITING);
	assert_int_equal(f->conn.guest_port, 1024);
}

static void test_vsock_conn_bytes_after_the_greeting_go_to_the_guest(void **state)
{
	struct fixture *f = *state;
	char text[64];

	start(f);
	program_writes(f, "CONNECT 1024\nhello\n");
	expect_state(f, VSOCK_WAITING);
	vsock_conn_step(&f->conn, VSOCK_READY);
	expect_packet(f, VSOCK_OP_REQUEST);
	guest_says(f, (struct vsock_header){ .op = VSOCK_OP_RESPONSE }, NULL);
	run_socket(f);
	assert_int_equal(next_packet(f, text, sizeof text).op, VSOCK_OP_RW);
	assert_string_equal(text, "hello\n");
}

static void test_vsock_conn_program_leaving_early_frees_it(void **state)
{
	struct fixture *f = *state;

	for (enum vsock_state s = VSOCK_GREETING; s <= VSOCK_CONNECTING; s++) {
		reach(f, s, false);
		close_fd(&f->program);
		run_socket(f);
		expect_state(f, VSOCK_FREE);
		assert_int_equal(f->conn.rst_owed, s == VSOCK_CONNECTING);
		assert_int_equal(f->conn.fd, -1);
	}
}

/* --- credit ------------------------------------------------------------------------------------------------------ */

static void test_vsock_conn_data_never_exceeds_the_guests_credit(void **state)
{
	struct fixture *f = *state;
	char text[64];

	open_conn(f);
	guest_says(f, (struct vsock_header){ .op = VSOCK_OP_CREDIT_UPDATE, .buf_alloc = 5 }, NULL);
	program_writes(f, "0123456789");
	assert_int_equal(next_packet(f, text, sizeof text).len, 5);
	assert_string_equal(text, "01234");
	/* Out of credit: asked for once, not again. */
	expect_packet(f, VSOCK_OP_CREDIT_REQUEST);
	expect_packet(f, VSOCK_OP_INVALID);
	guest_says(f, (struct vsock_header){ .op = VSOCK_OP_CREDIT_UPDATE, .buf_alloc = 5 }, NULL);
	expect_packet(f, VSOCK_OP_INVALID);
	assert_false(vsock_conn_wants_rx(&f->conn));
	guest_says(f, (struct vsock_header){ .op = VSOCK_OP_CREDIT_UPDATE, .buf_alloc = 5, .fwd_cnt = 3 }, NULL);
	assert_int_equal(next_packet(f, text, sizeof text).len, 3);
	assert_string_equal(text, "567");
	/* A buffer that shrinks below what is in flight is no credit. */
	guest_says(f, (struct vsock_header){ .op = VSOCK_OP_CREDIT_UPDATE, .buf_alloc = 1, .fwd_cnt = 5 }, NULL);
	assert_int_equal(vsock_conn_data_limit(&f->conn), 0);
}

static void test_vsock_conn_older_count_of_the_guest_is_ignored(void **state)
{
	struct fixture *f = *state;
	char text[64];

	open_conn(f);
	program_writes(f, "0123456789");
	next_packet(f, text, sizeof text);
	guest_says(f, (struct vsock_header){ .op = VSOCK_OP_CREDIT_UPDATE, .buf_alloc = 20, .fwd_cnt = 10 }, NULL);
	guest_says(f, (struct vsock_header){ .op = VSOCK_OP_CREDIT_UPDATE, .buf_alloc = 10, .fwd_cnt = 4 }, NULL);
	expect_state(f, VSOCK_OPEN);
	program_writes(f, "more");
	assert_int_equal(vsock_conn_data_limit(&f->conn), 20);
}

static void test_vsock_conn_count_beyond_what_was_sent_resets(void **state)
{
	struct fixture *f = *state;
	static const uint32_t lies[] = { 1, 1000, 0x7fffffff, 0x80000000, 0xffffffff };

	for (unsigned i = 0; i < sizeof lies / sizeof lies[0]; i++) {
		open_conn(f);
		guest_says(f, (struct vsock_header){ .op = VSOCK_OP_CREDIT_UPDATE, .fwd_cnt = lies[i] }, NULL);
		/* The last one says "older than the beginning", which is ignored: it gives no credit. */
		if ((int32_t)(0 - lies[i]) < 0) {
			expect_state(f, VSOCK_FREE);
			assert_true(f->conn.rst_owed);
			assert_non_null(f->conn.abort_reason);
		} else {
			expect_state(f, VSOCK_OPEN);
		}
	}
}

static void test_vsock_conn_counts_wrap(void **state)
{
	struct fixture *f = *state;
	char text[64];

	open_conn(f);
	f->conn.sent = f->conn.peer_forwarded = 0xfffffffe;
	f->conn.received = f->conn.forwarded = f->conn.announced = 0xfffffffe;
	program_writes(f, "0123456789");
	assert_int_equal(next_packet(f, text, sizeof text).len, 10);
	assert_int_equal(f->conn.sent, 8);
	guest_says(f, (struct vsock_header){ .op = VSOCK_OP_RW, .len = 5, .fwd_cnt = 8, .buf_alloc = 100 }, "abcde");
	expect_state(f, VSOCK_OPEN);
	assert_int_equal(f->conn.forwarded, 3);
	assert_string_equal(program_reads(f), "abcde");
	program_writes(f, "x");
	assert_int_equal(vsock_conn_data_limit(&f->conn), 100);
}

static void test_vsock_conn_data_beyond_our_credit_resets(void **state)
{
	struct fixture *f = *state;
	static char block[BUFFER + 1];

	open_conn(f);
	guest_says(f, (struct vsock_header){ .op = VSOCK_OP_RW, .len = BUFFER + 1 }, block);
	expect_state(f, VSOCK_FREE);
	assert_true(f->conn.rst_owed);

	open_conn(f);
	hold_some(f);
	size_t held = f->conn.received - f->conn.forwarded;
	guest_says(f, (struct vsock_header){ .op = VSOCK_OP_RW, .len = (uint32_t)(BUFFER - held) }, block);
	expect_state(f, VSOCK_OPEN);
	guest_says(f, (struct vsock_header){ .op = VSOCK_OP_RW, .len = 1 }, block);
	expect_state(f, VSOCK_DRAINING); /* what came before is not lost */
	assert_true(f->conn.rst_owed);
}

static void test_vsock_conn_guest_learns_of_room_when_a_quarter_is_free(void **state)
{
	struct fixture *f = *state;
	static char block[BUFFER];

	open_conn(f);
	guest_says(f, (struct vsock_header){ .op = VSOCK_OP_RW, .len = BUFFER / 4 - 1 }, block);
	while (*program_reads(f))
		run_socket(f);
	assert_int_equal(f->conn.forwarded, BUFFER / 4 - 1);
	assert_false(vsock_conn_wants_rx(&f->conn));
	guest_says(f, (struct vsock_header){ .op = VSOCK_OP_RW, .len = 1 }, block);
	assert_true(vsock_conn_wants_rx(&f->conn));
	struct vsock_header header = next_packet(f, block, sizeof block);
	assert_int_equal(header.op, VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(header.fwd_cnt, BUFFER / 4);
	assert_int_equal(header.buf_alloc, BUFFER);
	assert_false(vsock_conn_wants_rx(&f->conn));
}

static void test_vsock_conn_credit_request_is_answered(void **state)
{
	struct fixture *f = *state;

	open_conn(f);
	guest_says(f, (struct vsock_header){ .op = VSOCK_OP_CREDIT_REQUEST }, NULL);
	assert_true(vsock_conn_wants_rx(&f->conn));
	expect_packet(f, VSOCK_OP_CREDIT_UPDATE);
}

/* --- the ends ---------------------------------------------------------------------------------------------------- */

static void test_vsock_conn_host_half_close_leaves_the_other_way_open(void **state)
{
	struct fixture *f = *state;
	char text[64];

	open_conn(f);
	program_writes(f, "last words");
	shutdown(f->program, SHUT_WR);
	run_socket(f);
	assert_int_equal(next_packet(f, text, sizeof text).len, 10);
	run_socket(f);
	struct vsock_header header = next_packet(f, text, sizeof text);
	assert_int_equal(header.op, VSOCK_OP_SHUTDOWN);
	assert_int_equal(header.flags, VSOCK_SHUTDOWN_SEND);
	expect_state(f, VSOCK_TO_HOST);
	run_socket(f);
	guest_sends(f, "answer");
	assert_string_equal(program_reads(f), "answer");
	guest_shuts(f, VSOCK_SHUTDOWN_BOTH);
	run_socket(f);
	expect_state(f, VSOCK_FREE);
	assert_true(f->conn.rst_owed);
	assert_string_equal(program_reads(f), "EOF");
}

static void test_vsock_conn_guest_half_close_leaves_the_other_way_open(void **state)
{
	struct fixture *f = *state;
	char text[64];

	open_conn(f);
	guest_sends(f, "last words");
	guest_shuts(f, VSOCK_SHUTDOWN_SEND);
	assert_string_equal(program_reads(f), "last words");
	assert_string_equal(program_reads(f), "EOF");
	program_writes(f, "answer");
	assert_int_equal(next_packet(f, text, sizeof text).len, 6);
	assert_string_equal(text, "answer");
	close_fd(&f->program);
	run_socket(f);
	/* Told as soon as it is known; both in the end. */
	while (f->conn.state != VSOCK_CLOSING || f->conn.told != VSOCK_SHUTDOWN_BOTH)
		expect_packet(f, VSOCK_OP_SHUTDOWN);
	guest_says(f, (struct vsock_header){ .op = VSOCK_OP_RST }, NULL);
	expect_state(f, VSOCK_FREE);
	assert_false(f->conn.rst_owed);
}

static void test_vsock_conn_program_that_writes_and_closes_loses_nothing(void **state)
{
	struct fixture *f = *state;
	char text[64];
	struct vsock_header header;

	open_conn(f);
	assert_int_equal(write(f->program, "everything", 10), 10);
	close_fd(&f->program);
	run_socket(f);
	expect_state(f, VSOCK_TO_GUEST);
	assert_int_equal(vsock_conn_interest(&f->conn), -1); /* or its hang-up would spin the loop */
	header = next_packet(f, text, sizeof text);
	assert_int_equal(header.op, VSOCK_OP_SHUTDOWN);
	assert_int_equal(header.flags, VSOCK_SHUTDOWN_RECEIVE);
	header = next_packet(f, text, sizeof text);
	assert_int_equal(header.len, 10);
	assert_string_equal(text, "everything");
	header = next_packet(f, text, sizeof text);
	assert_int_equal(header.op, VSOCK_OP_SHUTDOWN);
	assert_int_equal(header.flags, VSOCK_SHUTDOWN_BOTH);
	expect_state(f, VSOCK_CLOSING);
	vsock_conn_tidy(&f->conn);
	assert_int_equal(f->conn.fd, -1);
	/* What the guest says meanwhile has no taker, and does it no harm. */
	guest_sends(f, "hello?");
	expect_state(f, VSOCK_CLOSING);
	assert_int_equal(f->conn.forwarded, 6);
}

static void test_vsock_conn_guest_reset_still_flushes_what_it_sent(void **state)
{
	struct fixture *f = *state;

	open_conn(f);
	size_t total = hold_some(f), read_total = 0;
	guest_says(f, (struct vsock_header){ .op = VSOCK_OP_RST }, NULL);
	expect_state(f, VSOCK_DRAINING);
	for (;;) {
		char block[1024];
		ssize_t n = read(f->program, block, sizeof block);

		if (n == 0)
			break;
		if (n > 0)
			read_total += (size_t)n;
		run_socket(f);
	}
	assert_int_equal(read_total, total);
	expect_state(f, VSOCK_FREE);
}

static void test_vsock_conn_guest_ending_with_input_unread_is_plain_end_of_file(void **state)
{
	struct fixture *f = *state;

	open_conn(f);
	guest_sends(f, "done");
	assert_int_equal(write(f->program, "unwanted", 8), 8);
	guest_shuts(f, VSOCK_SHUTDOWN_BOTH);
	run_socket(f);
	assert_string_equal(program_reads(f), "done");
	assert_string_equal(program_reads(f), "EOF");
}

static void test_vsock_conn_guest_not_receiving_stops_the_programs_writes(void **state)
{
	struct fixture *f = *state;

	open_conn(f);
	guest_shuts(f, VSOCK_SHUTDOWN_RECEIVE);
	expect_state(f, VSOCK_TO_HOST);
	assert_int_equal(send(f->program, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	guest_sends(f, "still here");
	assert_string_equal(program_reads(f), "still here");
	/* Both halves one after the other are both. */
	guest_shuts(f, VSOCK_SHUTDOWN_SEND);
	run_socket(f);
	expect_state(f, VSOCK_FREE);
	assert_true(f->conn.rst_owed);
}

static void test_vsock_conn_packet_out_of_place_resets(void **state)
{
	struct fixture *f = *state;
	static const struct {
		enum vsock_state state;
		struct vsock_header header;
	} cases[] = {
		{ VSOCK_CONNECTING, { .op = VSOCK_OP_RW, .len = 1 } },
		{ VSOCK_CONNECTING, { .op = VSOCK_OP_SHUTDOWN, .flags = 3 } },
		{ VSOCK_CONNECTING, { .op = VSOCK_OP_CREDIT_UPDATE } },
		{ VSOCK_CONNECTING, { .op = VSOCK_OP_REQUEST } },
		{ VSOCK_CONNECTING, { .op = VSOCK_OP_RESPONSE, .fwd_cnt = 1 } },
		{ VSOCK_OPEN, { .op = VSOCK_OP_RESPONSE } },
		{ VSOCK_OPEN, { .op = VSOCK_OP_REQUEST } },
		{ VSOCK_OPEN, { .op = VSOCK_OP_INVALID } },
		{ VSOCK_OPEN, { .op = 8 } },
		{ VSOCK_OPEN, { .op = 0xffff } },
		{ VSOCK_OPEN, { .op = VSOCK_OP_SHUTDOWN, .flags = 0 } },
		{ VSOCK_TO_GUEST, { .op = VSOCK_OP_REQUEST } },
		{ VSOCK_TO_HOST, { .op = VSOCK_OP_RESPONSE } },
		{ VSOCK_CLOSING, { .op = VSOCK_OP_RESPONSE } },
	};

	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		reach(f, cases[i].state, false);
		guest_says(f, cases[i].header, "x");
		expect_state(f, VSOCK_FREE);
		assert_true(f->conn.rst_owed);
		assert_non_null(f->conn.abort_reason);
	}
}

static void test_vsock_header_survives_packing(void **state)
{
	uint8_t bytes[VSOCK_HEADER_SIZE];
	struct vsock_header out, in = { .src_cid = 0x0807060504030201,
					.dst_cid = 0x100f0e0d0c0b0a09,
					.src_port = 0x14131211,
					.dst_port = 0x18171615,
					.len = 0x1c1b1a19,
					.type = 0x1e1d,
					.op = 0x201f,
					.flags = 0x24232221,
					.buf_alloc = 0x28272625,
					.fwd_cnt = 0x2c2b2a29 };

	(void)state;
	vsock_header_pack(bytes, &in);
	for (unsigned i = 0; i < sizeof bytes; i++)
		assert_int_equal(bytes[i], i + 1); /* the specification's order, little-endian */
	vsock_header_unpack(bytes, &out);
	assert_int_equal(out.src_cid, in.src_cid);
	assert_int_equal(out.dst_cid, in.dst_cid);
	assert_int_equal(out.fwd_cnt, in.fwd_cnt);
	assert_int_equal(out.op, in.op);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_vsock_conn_every_cell_goes_where_the_table_says),
		TEST(test_vsock_conn_every_cell_with_bytes_held_goes_where_the_table_says),
		TEST(test_vsock_conn_names_exist),
		TEST(test_vsock_conn_greeting_of_any_form_is_judged),
		TEST(test_vsock_conn_greeting_in_single_bytes_is_understood),
		TEST(test_vsock_conn_bytes_after_the_greeting_go_to_the_guest),
		TEST(test_vsock_conn_program_leaving_early_frees_it),
		TEST(test_vsock_conn_data_never_exceeds_the_guests_credit),
		TEST(test_vsock_conn_older_count_of_the_guest_is_ignored),
		TEST(test_vsock_conn_count_beyond_what_was_sent_resets),
		TEST(test_vsock_conn_counts_wrap),
		TEST(test_vsock_conn_data_beyond_our_credit_resets),
		TEST(test_vsock_conn_guest_learns_of_room_when_a_quarter_is_free),
		TEST(test_vsock_conn_credit_request_is_answered),
		TEST(test_vsock_conn_host_half_close_leaves_the_other_way_open),
		TEST(test_vsock_conn_guest_half_close_leaves_the_other_way_open),
		TEST(test_vsock_conn_program_that_writes_and_closes_loses_nothing),
		TEST(test_vsock_conn_guest_reset_still_flushes_what_it_sent),
		TEST(test_vsock_conn_guest_ending_with_input_unread_is_plain_end_of_file),
		TEST(test_vsock_conn_guest_not_receiving_stops_the_programs_writes),
		TEST(test_vsock_conn_packet_out_of_place_resets),
		TEST(test_vsock_header_survives_packing),
	};

	return cmocka_run_group_tests_name("vsock_conn", tests, NULL, NULL);
}
