/* SPDX-License-Identifier: Apache-2.0 */
/* The relay between all kinds of ends: nothing lost, nothing unbounded, no O_NONBLOCK on what is not ours. */
#include "runtime/relay.h"

#include "common/err.h"
#include "common/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MUCH = 3 * 1024 * 1024 + 17 };

static void done(void *arg)
{
	*(bool *)arg = true;
}

/* Byte `i` of the stream. */
static unsigned char pattern(size_t i)
{
	return (unsigned char)(i * 7 + (i >> 8) * 13 + (i >> 16));
}

/* A child that writes MUCH bytes, or reads and checks them, at its own speed; its exit status is 0 if all was well. */
static pid_t writer(int fd, int other)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	close(other);
	unsigned char block[5000];
	for (size_t at = 0; at < MUCH;) {
		size_t n = MUCH - at < sizeof block ? MUCH - at : sizeof block;

		for (size_t i = 0; i < n; i++)
			block[i] = pattern(at + i);
		ssize_t put = write(fd, block, n);
		if (put <= 0)
			_exit(1);
		at += (size_t)put;
	}
	_exit(0);
}

static pid_t reader(int fd, int other)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	close(other);
	unsigned char block[3000];
	size_t at = 0;
	for (;;) {
		ssize_t n = read(fd, block, sizeof block);

		if (n < 0)
			_exit(1);
		if (n == 0)
			_exit(at == MUCH ? 0 : 2);
		for (ssize_t i = 0; i < n; i++) {
			if (block[i] != pattern(at++))
				_exit(3);
		}
	}
}

static void wait_good(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

enum kind { PIPE, SOCKET };

static void make_pair(enum kind kind, int ends[2])
{
	if (kind == PIPE) {
		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	} else {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	}
}

/* ends[0] is read from, ends[1] written to. */
static void carry(enum kind from, enum kind to)
{
	struct err err = ERR_INIT;
	struct loop *loop = loop_create(&err);
	int in[2], out[2];
	bool ended = false;

	make_pair(from, in);
	make_pair(to, out);
	pid_t source = writer(in[1], in[0]);
	close(in[1]);
	pid_t sink = reader(out[0], out[1]);
	close(out[0]);
	struct relay *relay =
		relay_create(loop, relay_open_end(in[0], false), relay_open_end(out[1], true), done, &ended, &err);
	assert_non_null(relay);
	while (!ended)
		assert_int_equal(loop_step(loop, 10000), 0);
	relay_destroy(relay);
	loop_destroy(loop);
	wait_good(source);
	wait_good(sink);
}

static void test_relay_all_kinds_of_ends_carry_everything(void **state)
{
	(void)state;
	carry(PIPE, PIPE);
	carry(PIPE, SOCKET);
	carry(SOCKET, PIPE);
	carry(SOCKET, SOCKET);
}

static void test_relay_regular_files_at_either_end(void **state)
{
	struct err err = ERR_INIT;
	struct loop *loop = loop_create(&err);
	char from_name[] = "/tmp/test_relay.XXXXXX", to_name[] = "/tmp/test_relay.XXXXXX";
	int from = mkstemp(from_name), to = mkstemp(to_name), one[2];
	unsigned char byte;
	bool ended = false, ended_too = false;

	(void)state;
	unlink(from_name);
	unlink(to_name);
	for (size_t i = 0; i < 200000; i++) {
		byte = pattern(i);
		if (pwrite(from, &byte, 1, (off_t)i) != 1)
			fail();
	}
	make_pair(SOCKET, one);
	int check = dup(to);
	struct relay *in = relay_create(loop, relay_open_end(from, false), one[0], done, &ended, &err);
	struct relay *out = relay_create(loop, one[1], relay_open_end(to, true), done, &ended_too, &err);
	assert_true(in && out);
	while (!ended || !ended_too)
		assert_int_equal(loop_step(loop, 10000), 0);
	assert_int_equal(lseek(check, 0, SEEK_END), 200000);
	for (size_t i = 0; i < 200000; i += 997) {
		assert_int_equal(pread(check, &byte, 1, (off_t)i), 1);
		assert_int_equal(byte, pattern(i));
	}
	close(check);
	relay_destroy(in);
	relay_destroy(out);
	loop_destroy(loop);
}

static void test_relay_reader_that_stops_stops_the_writer(void **state)
{
	struct err err = ERR_INIT;
	struct loop *loop = loop_create(&err);
	char block[4096] = { 0 };
	size_t taken = 0;
	int in[2], out[2];
	bool ended = false;

	(void)state;
	make_pair(PIPE, in);
	make_pair(PIPE, out);
	fcntl(in[1], F_SETFL, O_NONBLOCK);
	struct relay *relay =
		relay_create(loop, relay_open_end(in[0], false), relay_open_end(out[1], true), done, &ended, &err);
	for (int quiet = 0; quiet < 3;) {
		ssize_t n = write(in[1], block, sizeof block);

		quiet = n < 0 ? quiet + 1 : 0;
		taken += n > 0 ? (size_t)n : 0;
		loop_step(loop, 0);
	}
	/* Two pipes and the buffer: bounded, and it is what is held. */
	assert_in_range(taken, 64 * 1024, 3 * 64 * 1024 + 4096);
	/* Without anyone to read, the loop has nothing to do. */
	assert_int_equal(poll(NULL, 0, 0), 0);
	close(in[1]);
	size_t got = 0;
	while (!ended || got < taken) {
		loop_step(loop, 0);
		ssize_t n = read(out[0], block, sizeof block);
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	assert_int_equal(got, taken);
	relay_destroy(relay);
	loop_destroy(loop);
	close(out[0]);
}

static void test_relay_destination_gone_closes_the_source(void **state)
{
	struct err err = ERR_INIT;
	struct loop *loop = loop_create(&err);
	int in[2], out[2];
	bool ended = false;

	(void)state;
	make_pair(PIPE, in);
	make_pair(PIPE, out);
	struct relay *relay =
		relay_create(loop, relay_open_end(in[0], false), relay_open_end(out[1], true), done, &ended, &err);
	close(out[0]);
	while (!ended)
		assert_int_equal(loop_step(loop, 10000), 0);
	/* As after a local reader's end. */
	assert_int_equal(write(in[1], "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	relay_destroy(relay);
	loop_destroy(loop);
	close(in[1]);
}

static void test_relay_half_close_leaves_the_other_direction(void **state)
{
	struct err err = ERR_INIT;
	struct loop *loop = loop_create(&err);
	int in[2], both[2];
	bool ended = false;
	char text[8];

	(void)state;
	make_pair(PIPE, in);
	make_pair(SOCKET, both);
	int copy = dup(both[0]);
	struct relay *relay = relay_create(loop, relay_open_end(in[0], false), both[0], done, &ended, &err);
	assert_int_equal(write(in[1], "in", 2), 2);
	close(in[1]);
	while (!ended)
		assert_int_equal(loop_step(loop, 10000), 0);
	assert_int_equal(read(both[1], text, sizeof text), 2);
	assert_int_equal(read(both[1], text, sizeof text), 0);
	assert_int_equal(write(both[1], "out", 3), 3);
	assert_int_equal(read(copy, text, sizeof text), 3);
	relay_destroy(relay);
	loop_destroy(loop);
	close(copy);
	close(both[1]);
}

static void test_relay_open_end_leaves_the_shared_description_alone(void **state)
{
	int ends[2];

	(void)state;
	make_pair(PIPE, ends);
	int shared = dup(ends[1]);
	int own = relay_open_end(ends[1], true);
	assert_true(fcntl(own, F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(shared, F_GETFL) & O_NONBLOCK);
	close(own);
	close(shared);
	close(ends[0]);
	/* A terminal's master is not opened again: that would make another terminal. */
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master >= 0) {
		assert_int_equal(relay_open_end(master, false), master);
		close(master);
	}
}

static void test_relay_make_room_lets_the_rest_into_the_pipe(void **state)
{
	struct err err = ERR_INIT;
	struct loop *loop = loop_create(&err);
	char block[4096] = { 0 };
	int in[2], out[2];
	bool ended = false;

	(void)state;
	make_pair(PIPE, in);
	make_pair(PIPE, out);
	struct relay *relay =
		relay_create(loop, relay_open_end(in[0], false), relay_open_end(out[1], true), done, &ended, &err);
	for (int i = 0; i < 44; i++) { /* more than one pipe and less than three buffers */
		assert_int_equal(write(in[1], block, sizeof block), sizeof block);
		for (int step = 0; step < 4; step++)
			loop_step(loop, 0);
	}
	close(in[1]);
	for (int step = 0; step < 10; step++)
		loop_step(loop, 0);
	assert_false(ended);
	relay_make_room(relay);
	for (int step = 0; step < 20 && !ended; step++)
		loop_step(loop, 100);
	assert_true(ended);
	int held;
	assert_int_equal(ioctl(out[0], FIONREAD, &held), 0);
	assert_int_equal(held, 44 * 4096);
	relay_destroy(relay);
	loop_destroy(loop);
	close(out[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_relay_all_kinds_of_ends_carry_everything),
		cmocka_unit_test(test_relay_regular_files_at_either_end),
		cmocka_unit_test(test_relay_reader_that_stops_stops_the_writer),
		cmocka_unit_test(test_relay_destination_gone_closes_the_source),
		cmocka_unit_test(test_relay_half_close_leaves_the_other_direction),
		cmocka_unit_test(test_relay_open_end_leaves_the_shared_description_alone),
		cmocka_unit_test(test_relay_make_room_lets_the_rest_into_the_pipe),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
