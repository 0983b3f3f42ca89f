/* SPDX-License-Identifier: Apache-2.0 */
/* The bounded buffer, compared with a plain one over many random steps. */
#include "common/ring.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void test_ring_size_is_rounded_up(void **state)
{
	static const struct {
		size_t asked, given;
	} cases[] = { { 0, 64 }, { 1, 64 }, { 64, 64 }, { 65, 128 }, { 4096, 4096 }, { 100000, 131072 } };

	(void)state;
	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct ring *ring = ring_create(cases[i].asked);

		assert_int_equal(ring_room(ring), cases[i].given);
		assert_int_equal(ring_used(ring), 0);
		ring_destroy(ring);
	}
	ring_destroy(NULL);
}

static void test_ring_full_takes_no_more(void **state)
{
	struct ring *ring = ring_create(64);
	char block[100];

	(void)state;
	memset(block, 'x', sizeof block);
	assert_int_equal(ring_put(ring, block, 100), 64);
	assert_int_equal(ring_put(ring, block, 1), 0);
	assert_int_equal(ring_room(ring), 0);
	assert_int_equal(ring_get(ring, block, 100), 64);
	assert_int_equal(ring_get(ring, block, 100), 0);
	ring_destroy(ring);
}

static void test_ring_bytes_come_out_as_they_went_in(void **state)
{
	struct ring *ring = ring_create(256);
	uint8_t in = 0, out = 0, block[300];
	size_t held = 0;

	(void)state;
	srandom(1);
	for (unsigned step = 0; step < 20000; step++) {
		size_t want = (size_t)random() % sizeof block, n;
		struct iovec pieces[2];

		switch (random() % 3) {
		case 0:
			for (size_t i = 0; i < want; i++)
				block[i] = (uint8_t)(in + i);
			n = ring_put(ring, block, want);
			assert_int_equal(n, want < 256 - held ? want : 256 - held);
			in = (uint8_t)(in + n);
			held += n;
			break;
		case 1:
			n = ring_get(ring, block, want);
			assert_int_equal(n, want < held ? want : held);
			for (size_t i = 0; i < n; i++)
				assert_int_equal(block[i], (uint8_t)(out + i));
			out = (uint8_t)(out + n);
			held -= n;
			break;
		default:
			n = 0;
			for (int i = 0, count = ring_peek(ring, pieces); i < count; i++)
				for (size_t j = 0; j < pieces[i].iov_len; j++, n++)
					assert_int_equal(((uint8_t *)pieces[i].iov_base)[j], (uint8_t)(out + n));
			assert_int_equal(n, held);
			n = want < held ? want : held;
			ring_drop(ring, n);
			out = (uint8_t)(out + n);
			held -= n;
			break;
		}
		assert_int_equal(ring_used(ring), held);
		assert_int_equal(ring_room(ring), 256 - held);
	}
	ring_destroy(ring);
}

static void test_ring_between_sockets_loses_nothing(void **state)
{
	struct ring *ring = ring_create(128);
	int from[2], to[2];
	uint8_t in = 0, out = 0, block[512];

	(void)state;
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, from), errno);
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, to), errno);
	srandom(2);
	for (unsigned step = 0; step < 3000; step++) {
		size_t want = (size_t)random() % 100;

		for (size_t i = 0; i < want; i++)
			block[i] = (uint8_t)(in + i);
		ssize_t n = write(from[1], block, want);
		in = (uint8_t)(in + (n > 0 ? n : 0));
		ring_read_from(ring, from[0], (size_t)random() % 200 + 1);
		if (random() % 2)
			ring_write_to(ring, to[0]);
		n = read(to[1], block, sizeof block);
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(block[i], out++);
	}
	close(from[0]);
	close(from[1]);
	close(to[0]);
	close(to[1]);
	ring_destroy(ring);
}

static void test_ring_limit_of_a_read_is_kept(void **state)
{
	struct ring *ring = ring_create(64);
	int fds[2];

	(void)state;
	assert_return_code(pipe(fds), errno);
	assert_int_equal(write(fds[1], "0123456789", 10), 10);
	assert_int_equal(ring_read_from(ring, fds[0], 4), 4);
	assert_int_equal(ring_used(ring), 4);
	close(fds[1]);
	assert_int_equal(ring_read_from(ring, fds[0], 64), 6);
	assert_int_equal(ring_read_from(ring, fds[0], 64), 0); /* end of file */
	close(fds[0]);
	ring_destroy(ring);
}

static void test_ring_without_room_or_bytes_says_so(void **state)
{
	struct ring *ring = ring_create(64);
	char block[64] = { 0 };

	(void)state;
	errno = 0;
	assert_int_equal(ring_write_to(ring, 1), -1);
	assert_int_equal(errno, ENOBUFS);
	ring_put(ring, block, 64);
	errno = 0;
	assert_int_equal(ring_read_from(ring, 0, 64), -1);
	assert_int_equal(errno, ENOBUFS);
	errno = 0;
	ring_drop(ring, 64);
	assert_int_equal(ring_read_from(ring, 0, 0), -1);
	assert_int_equal(errno, ENOBUFS);
	ring_destroy(ring);
}

static void test_ring_failed_call_changes_nothing(void **state)
{
	struct ring *ring = ring_create(64);

	(void)state;
	ring_put(ring, "abc", 3);
	assert_int_equal(ring_write_to(ring, -1), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(ring_read_from(ring, -1, 10), -1);
	assert_int_equal(ring_used(ring), 3);
	ring_destroy(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ring_size_is_rounded_up),
		cmocka_unit_test(test_ring_full_takes_no_more),
		cmocka_unit_test(test_ring_bytes_come_out_as_they_went_in),
		cmocka_unit_test(test_ring_between_sockets_loses_nothing),
		cmocka_unit_test(test_ring_limit_of_a_read_is_kept),
		cmocka_unit_test(test_ring_without_room_or_bytes_says_so),
		cmocka_unit_test(test_ring_failed_call_changes_nothing),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
