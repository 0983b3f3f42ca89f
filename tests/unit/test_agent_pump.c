/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's streams: nothing lost, nothing piled up, and an end that comes. */
#include "guest-agent/notify.c"
#include "guest-agent/pump.c"
#include "guest-agent/stdio.c"

#include "common/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

static struct loop *loop;
static unsigned ends;

static int setup(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	ends = 0;
	loop = loop_create(&err);
	return loop ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	loop_destroy(loop);
	return 0;
}

static void ended(void *arg)
{
	(void)arg;
	ends++;
}

/* Rounds enough for anything that is going to happen without us. */
static void settle(void)
{
	for (int i = 0; i < 200; i++)
		assert_int_equal(loop_step(loop, 0), 0);
}

static size_t fill(int fd)
{
	char data[4096];
	size_t total = 0;
	ssize_t n;

	memset(data, 'x', sizeof data);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while ((n = write(fd, data, sizeof data)) > 0)
		total += (size_t)n;
	return total;
}

static size_t drain_fd(int fd)
{
	char data[4096];
	size_t total = 0;
	ssize_t n;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while ((n = read(fd, data, sizeof data)) > 0)
		total += (size_t)n;
	return total;
}

static void make_pipes(int in[2], int out[2])
{
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
}

static void test_pump_end_of_file_comes_after_the_last_byte(void **state)
{
	int in[2], out[2];
	char data[16];

	(void)state;
	make_pipes(in, out);
	struct pump *p = pump_create(loop, in[0], out[1], ended, NULL);
	assert_non_null(p);
	assert_int_equal(write(in[1], "hello", 5), 5);
	close(in[1]);
	settle();
	assert_int_equal(ends, 1);
	pump_destroy(p);
	assert_int_equal(read(out[0], data, sizeof data), 5);
	assert_int_equal(read(out[0], data, sizeof data), 0);
	close(out[0]);
}

static void test_pump_full_sink_stops_the_source(void **state)
{
	int in[2], out[2];
	size_t written = 0, got = 0;

	(void)state;
	make_pipes(in, out);
	struct pump *p = pump_create(loop, in[0], out[1], ended, NULL);
	/* Three buffers in a row: the pipe, the pump's, the other pipe. Then it is full, however long we go on. */
	for (int i = 0; i < 20; i++) {
		written += fill(in[1]);
		settle();
	}
	assert_in_range(written, 3 * BUFFER_SIZE - 3 * 4096, 3 * BUFFER_SIZE);
	assert_int_equal(fill(in[1]), 0);
	assert_null(p->source_watch); /* a hang-up of the source now would otherwise keep the loop busy */
	close(in[1]);
	for (int i = 0; i < 20; i++) {
		got += drain_fd(out[0]);
		settle();
	}
	assert_int_equal(got, written);
	assert_int_equal(ends, 1);
	pump_destroy(p);
	close(out[0]);
}

static void test_pump_gone_sink_ends_it(void **state)
{
	int in[2], out[2];

	(void)state;
	make_pipes(in, out);
	struct pump *p = pump_create(loop, in[0], out[1], ended, NULL);
	close(out[0]);
	assert_int_equal(write(in[1], "x", 1), 1);
	settle();
	assert_int_equal(ends, 1);
	pump_destroy(p);
	close(in[1]);
}

static void test_pump_drain_does_not_wait_for_other_writers(void **state)
{
	int in[2], out[2];

	(void)state;
	make_pipes(in, out);
	struct pump *p = pump_create(loop, in[0], out[1], ended, NULL);
	size_t written = fill(in[1]);
	settle();
	written += fill(in[1]);
	pump_drain(p, 0);
	/* in[1] stays open, as a grandchild would have it; what it writes now is too late. */
	size_t got = 0;
	for (int i = 0; i < 20 && !ends; i++) {
		got += drain_fd(out[0]);
		settle();
	}
	got += drain_fd(out[0]);
	assert_int_equal(ends, 1);
	assert_int_equal(got, written);
	pump_destroy(p);
	close(in[1]);
	close(out[0]);
}

static void test_pump_drain_of_empty_source_ends_at_once(void **state)
{
	int in[2], out[2];

	(void)state;
	make_pipes(in, out);
	struct pump *p = pump_create(loop, in[0], out[1], ended, NULL);
	pump_drain(p, 1000);
	assert_int_equal(ends, 1);
	pump_destroy(p);
	close(in[1]);
	close(out[0]);
}

static void test_stdio_output_before_attach_is_kept(void **state)
{
	struct err err = ERR_INIT;
	struct stdio *io = stdio_create(loop);
	int ends_of_process[3], pair[2];
	char data[16];

	(void)state;
	assert_int_equal(stdio_make_pipes(io, getuid(), getgid(), ends_of_process, &err), 0);
	assert_int_equal(write(ends_of_process[1], "early", 5), 5);
	for (int i = 0; i < 3; i++)
		close(ends_of_process[i]);
	stdio_process_ended(io);
	assert_false(stdio_is_delivered(io));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(stdio_check_attach(io, 1, &err), 0);
	stdio_attach(io, 1, pair[0]);
	settle();
	assert_int_equal(read(pair[1], data, sizeof data), 5);
	assert_int_equal(read(pair[1], data, sizeof data), 0);
	close(pair[1]);
	assert_int_equal(stdio_check_attach(io, 1, &err), -1);
	assert_int_equal(err.code, EBUSY);
	/* Standard error was not looked at yet. */
	assert_false(stdio_is_delivered(io));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	stdio_attach(io, 2, pair[0]);
	settle();
	assert_int_equal(read(pair[1], data, sizeof data), 0);
	close(pair[1]);
	assert_true(stdio_is_delivered(io));
	/* Input of a process that has ended goes nowhere: the connection is closed. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	stdio_attach(io, 0, pair[0]);
	assert_int_equal(read(pair[1], data, sizeof data), 0);
	close(pair[1]);
	stdio_destroy(io);
}

/* In a copy the process may be killed before the streams' new connections come. */
static void test_stdio_detached_and_ended_takes_connections(void **state)
{
	struct err err = ERR_INIT;
	struct stdio *io = stdio_create(loop);
	int ends_of_process[3], pairs[3][2];
	char data[16];

	(void)state;
	assert_int_equal(stdio_make_pipes(io, getuid(), getgid(), ends_of_process, &err), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]), 0);
		stdio_attach(io, i, pairs[i][0]);
	}
	settle();
	stdio_suspend(io);
	assert_int_equal(write(ends_of_process[1], "late", 4), 4);
	for (unsigned i = 0; i < 3; i++) {
		close(pairs[i][1]);
		close(ends_of_process[i]);
	}
	stdio_detach(io);
	stdio_process_ended(io);
	settle();
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]), 0);
		assert_int_equal(stdio_check_attach(io, i, &err), 0);
		stdio_attach(io, i, pairs[i][0]);
	}
	settle();
	assert_int_equal(read(pairs[0][1], data, sizeof data), 0);
	assert_int_equal(read(pairs[1][1], data, sizeof data), 4);
	assert_int_equal(read(pairs[1][1], data, sizeof data), 0);
	assert_int_equal(read(pairs[2][1], data, sizeof data), 0);
	assert_true(stdio_is_delivered(io));
	for (unsigned i = 0; i < 3; i++)
		close(pairs[i][1]);
	stdio_destroy(io);
}

/* NOTIFY_SOCKET may be set for a restore and not have been for the container. */
static void test_stdio_copy_without_notifications_has_none(void **state)
{
	struct err err = ERR_INIT;
	struct stdio *io = stdio_create(loop);
	int ends_of_process[3], pair[2];
	char data[16];

	(void)state;
	assert_int_equal(stdio_make_pipes(io, getuid(), getgid(), ends_of_process, &err), 0);
	assert_int_equal(stdio_check_attach(io, 3, &err), -1);
	stdio_detach(io);
	assert_int_equal(stdio_check_attach(io, 4, &err), -1);
	assert_int_equal(stdio_check_attach(io, 3, &err), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	stdio_attach(io, 3, pair[0]);
	assert_int_equal(read(pair[1], data, sizeof data), 0);
	close(pair[1]);
	assert_int_equal(stdio_check_attach(io, 3, &err), -1);
	for (unsigned i = 0; i < 3; i++)
		close(ends_of_process[i]);
	stdio_destroy(io);
}

static void test_stdio_more_streams_go_their_ways(void **state)
{
	static const uint32_t ways[] = { PROTO_STREAM_READ, PROTO_STREAM_WRITE,
					 PROTO_STREAM_READ | PROTO_STREAM_WRITE };
	struct err err = ERR_INIT;
	struct stdio *io = stdio_create(loop);
	int process[3], host[3], pair[2];
	char data[16];

	(void)state;
	assert_int_equal(stdio_check_attach(io, 3, &err), -1);
	assert_int_equal(stdio_make_more(io, ways, 3, getuid(), getgid(), process, &err), 0);
	assert_int_equal(stdio_check_attach(io, 6, &err), -1);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		assert_int_equal(stdio_check_attach(io, 3 + i, &err), 0);
		stdio_attach(io, 3 + i, pair[0]);
		host[i] = pair[1];
	}
	assert_int_equal(write(host[0], "in", 2), 2);
	assert_int_equal(write(process[1], "out", 3), 3);
	assert_int_equal(write(host[2], "there", 5), 5);
	assert_int_equal(shutdown(host[2], SHUT_WR), 0);
	settle();
	assert_int_equal(read(process[0], data, sizeof data), 2);
	assert_int_equal(read(host[1], data, sizeof data), 3);
	/* The end of one way of a socket leaves the other. */
	assert_int_equal(read(process[2], data, sizeof data), 5);
	assert_int_equal(read(process[2], data, sizeof data), 0);
	assert_int_equal(write(process[2], "back", 4), 4);
	for (int i = 0; i < 3; i++)
		close(process[i]);
	stdio_process_ended(io);
	settle();
	assert_int_equal(read(host[2], data, sizeof data), 4);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(read(host[i], data, sizeof data), 0);
		close(host[i]);
	}
	assert_false(stdio_is_busy(io));
	stdio_destroy(io);
}

static void test_stdio_resize_needs_a_terminal(void **state)
{
	struct err err = ERR_INIT;
	struct stdio *io = stdio_create(loop);

	(void)state;
	assert_int_equal(stdio_resize(io, 10, 20, &err), -1);
	assert_int_equal(err.code, ENOTTY);
	stdio_destroy(io);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pump_end_of_file_comes_after_the_last_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pump_full_sink_stops_the_source, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pump_gone_sink_ends_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pump_drain_does_not_wait_for_other_writers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pump_drain_of_empty_source_ends_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stdio_output_before_attach_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stdio_detached_and_ended_takes_connections, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stdio_copy_without_notifications_has_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stdio_more_streams_go_their_ways, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stdio_resize_needs_a_terminal, setup, teardown),
	};

	signal(SIGPIPE, SIG_IGN); /* as the agent does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
