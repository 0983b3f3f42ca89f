/* SPDX-License-Identifier: Apache-2.0 */
/* What of a guest's messages reaches the host's service manager. */
#include "runtime/notify_relay.h"

#include "common/err.h"
#include "common/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop *loop;

static void done(void *arg)
{
	(void)arg;
	loop_stop(loop, 0);
}

/* What arrives of this stream, in pieces of so many bytes. */
static void relayed(const char *stream, size_t length, size_t piece, char out[8192])
{
	int guest[2], manager[2];
	struct err err = ERR_INIT;
	ssize_t n;

	loop = loop_create(&err);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, guest), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, manager), 0);
	struct notify_relay *relay = notify_relay_create(loop, guest[1], manager[1], done, NULL, &err);
	assert_non_null(relay);
	for (size_t at = 0; at < length; at += piece)
		assert_true(write(guest[0], stream + at, length - at < piece ? length - at : piece) > 0);
	close(guest[0]);
	assert_int_equal(loop_run(loop), 0);
	notify_relay_destroy(relay);
	loop_destroy(loop);
	size_t used = 0;
	while ((n = recv(manager[0], out + used, 4096, MSG_DONTWAIT)) > 0)
		used += (size_t)n;
	out[used] = '\0';
	close(manager[0]);
}

static void test_notify_relay_the_services_own_state_goes_on(void **state)
{
	static const char text[] = "STATUS=on its way\nREADY=1\nWATCHDOG=1\n";
	char out[8192] = "";

	(void)state;
	relayed(text, strlen(text), sizeof text, out);
	assert_string_equal(out, text);
	relayed(text, strlen(text), 1, out);
	assert_string_equal(out, text);
}

/* MAINPID from root has systemd signal whatever process of the host is named. */
static void test_notify_relay_the_hosts_processes_are_none_of_its_business(void **state)
{
	static const char text[] =
		"MAINPID=1\nREADY=1\nFDSTORE=1\nNOTIFYACCESS=all\nSTATUS=a\033[2Jb\nREADY=1\0MAINPID=1\n";
	char out[8192] = "";

	(void)state;
	relayed(text, sizeof text - 1, sizeof text, out);
	assert_string_equal(out, "READY=1\nSTATUS=a?[2Jb\nREADY=1\n");
}

static void test_notify_relay_a_line_without_end_is_dropped(void **state)
{
	static char text[10000];
	char out[8192] = "";

	(void)state;
	memset(text, 'x', sizeof text);
	memcpy(text, "STATUS=", 7);
	/* What follows where the buffer was full is no line of its own. */
	memcpy(text + 4096, "READY=1", 7);
	strcpy(text + sizeof text - 20, "\nSTOPPING=1\n");
	relayed(text, sizeof text - 20 + 12, sizeof text, out);
	assert_string_equal(out, "STOPPING=1\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_notify_relay_the_services_own_state_goes_on),
		cmocka_unit_test(test_notify_relay_the_hosts_processes_are_none_of_its_business),
		cmocka_unit_test(test_notify_relay_a_line_without_end_is_dropped),
	};

	return cmocka_run_group_tests_name("notify relay", tests, NULL, NULL);
}
