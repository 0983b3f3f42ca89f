/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's end of NOTIFY_SOCKET: messages become lines, none waits, and the end comes when the process has ended. */
#include "guest-agent/notify.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static struct loop *loop;
static char directory[] = "/tmp/notify.XXXXXX";
static char path[sizeof directory + 8];

static int setup(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	loop = loop_create(&err);
	memcpy(directory + sizeof directory - 7, "XXXXXX", 6);
	if (!loop || !mkdtemp(directory))
		return -1;
	snprintf(path, sizeof path, "%s/sock", directory);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	loop_destroy(loop);
	return rmdir(directory);
}

static int say(const char *text, size_t length)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	auto_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(address.sun_path, path, sizeof path);
	return sendto(fd, text, length, 0, (struct sockaddr *)&address, sizeof address) < 0 ? -1 : 0;
}

static void expect(int fd, const char *text)
{
	char got[512] = "";

	assert_true(read(fd, got, sizeof got - 1) >= 0);
	assert_string_equal(got, text);
}

static void test_notify_messages_become_lines(void **state)
{
	struct err err = ERR_INIT;
	struct stat st;
	int fd;
	struct notify *notify = notify_create(loop, path, &fd, &err);

	(void)state;
	assert_non_null(notify);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	assert_int_equal(say("STATUS=a\nX=1", 12), 0);
	assert_int_equal(say("", 0), 0);
	assert_int_equal(say("READY=1\n", 8), 0);
	readable(notify, EPOLLIN);
	expect(fd, "STATUS=a\nX=1\nREADY=1\n");
	notify_destroy(notify);
	expect(fd, "");
	close(fd);
	assert_int_equal(stat(path, &st), -1);
}

static void test_notify_what_was_sent_before_the_end_is_delivered(void **state)
{
	struct err err = ERR_INIT;
	int fd;
	struct notify *notify = notify_create(loop, path, &fd, &err);

	(void)state;
	assert_int_equal(say("STOPPING=1", 10), 0);
	notify_finish(notify);
	expect(fd, "STOPPING=1\n");
	expect(fd, "");
	assert_int_equal(say("late", 4), -1);
	notify_finish(notify);
	notify_destroy(notify);
	close(fd);
}

static void test_notify_too_much_is_lost_and_blocks_nobody(void **state)
{
	static char long_message[MESSAGE_MAX + 1];
	struct err err = ERR_INIT;
	int fd;
	struct notify *notify = notify_create(loop, path, &fd, &err);

	(void)state;
	memset(long_message, 'x', sizeof long_message);
	assert_int_equal(say(long_message, sizeof long_message), 0);
	assert_int_equal(say("A=1", 3), 0);
	readable(notify, EPOLLIN);
	expect(fd, "A=1\n");
	/* More than a pipe holds, and nobody reads. */
	for (int i = 0; i < 64; i++) {
		assert_int_equal(say(long_message, MESSAGE_MAX), 0);
		readable(notify, EPOLLIN);
	}
	notify_destroy(notify);
	close(fd);
}

static void test_notify_a_path_that_is_too_long_or_taken_is_an_error(void **state)
{
	struct err err = ERR_INIT;
	int fd;
	char too_long[256];
	struct notify *first = notify_create(loop, path, &fd, &err);

	(void)state;
	assert_null(notify_create(loop, path, &fd, &err));
	assert_int_equal(err.code, EADDRINUSE);
	assert_int_equal(say("A=1", 3), 0); /* the first has not lost its name */
	memset(too_long, 'x', sizeof too_long);
	too_long[sizeof too_long - 1] = '\0';
	err = (struct err)ERR_INIT;
	assert_null(notify_create(loop, too_long, &fd, &err));
	assert_int_equal(err.code, ENAMETOOLONG);
	close(fd);
	notify_destroy(first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_notify_messages_become_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_notify_what_was_sent_before_the_end_is_delivered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_notify_too_much_is_lost_and_blocks_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(test_notify_a_path_that_is_too_long_or_taken_is_an_error, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
