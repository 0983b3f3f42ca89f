/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines as engines and people get them, and what a guest can put into them. */
#include "common/log.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include <cmocka.h>

static int fds[2];

static int setup(void **state)
{
	(void)state;
	return pipe(fds);
}

static int teardown(void **state)
{
	(void)state;
	log_setup("bulkhead", 2, LOG_TEXT, LOG_INFO);
	close(fds[0]);
	close(fds[1]);
	return 0;
}

/* What has been logged since, as one string. The pipe takes 64 KiB, more than any test writes. */
static const char *logged(void)
{
	static char text[65536];

	close(fds[1]);
	ssize_t n = read(fds[0], text, sizeof text - 1);
	assert_true(n >= 0);
	text[n] = '\0';
	fds[1] = -1;
	return text;
}

static void test_log_text_names_program_and_level(void **state)
{
	(void)state;
	log_setup("prog", fds[1], LOG_TEXT, LOG_DEBUG);
	log_error("cannot %s", "go");
	log_warn("odd %d", 1);
	log_info("kept");
	log_debug("small");
	assert_string_equal(logged(), "prog: cannot go\nprog: warning: odd 1\nprog: info: kept\nprog: debug: small\n");
}

static void test_log_lower_levels_are_left_out(void **state)
{
	(void)state;
	log_setup("prog", fds[1], LOG_TEXT, LOG_WARN);
	assert_true(log_is_enabled(LOG_ERROR));
	assert_true(log_is_enabled(LOG_WARN));
	assert_false(log_is_enabled(LOG_INFO));
	log_info("no");
	log_debug("no");
	log_guest(LOG_INFO, "no", "x", 1);
	log_warn("yes");
	assert_string_equal(logged(), "prog: warning: yes\n");
}

/* As a container may have it in the place that a proxy's libc looks for it at. */
static void test_log_json_asks_no_file_for_the_time(void **state)
{
	char path[] = "/tmp/zone.XXXXXX", fifo[64], zone[80];
	struct tm tm = { 0 };
	const char *line;

	(void)state;
	assert_non_null(mkdtemp(path));
	snprintf(fifo, sizeof fifo, "%s/localtime", path);
	snprintf(zone, sizeof zone, ":%s", fifo);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(setenv("TZ", zone, 1), 0);
	time_t before = time(NULL);
	log_setup("prog", fds[1], LOG_JSON, LOG_INFO);
	alarm(20); /* should it wait for somebody to write there */
	log_error("late");
	alarm(0);
	assert_int_equal(setenv("TZ", "UTC", 1), 0);
	line = strstr(logged(), "\"time\":\"");
	assert_non_null(line);
	assert_string_equal(strptime(line + 8, "%Y-%m-%dT%H:%M:%SZ", &tm), "\"}\n");
	assert_in_range(timegm(&tm), before, before + 21);
	unlink(fifo);
	rmdir(path);
}

static void test_log_without_fd_is_silent(void **state)
{
	(void)state;
	log_setup("prog", -1, LOG_TEXT, LOG_DEBUG);
	assert_false(log_is_enabled(LOG_ERROR));
	log_error("nobody hears");
}

static void test_log_errno_survives(void **state)
{
	(void)state;
	log_setup("prog", -1, LOG_TEXT, LOG_DEBUG);
	errno = ESRCH;
	log_error("x");
	assert_int_equal(errno, ESRCH);
	log_setup("prog", 9999, LOG_TEXT, LOG_DEBUG); /* not open: write fails */
	log_error("x");
	log_guest(LOG_ERROR, "x", "y", 1);
	assert_int_equal(errno, ESRCH);
}

/* One line, parsed by somebody else's parser. */
static struct json_object *parse_line(const char *text)
{
	size_t length = strlen(text);

	assert_true(length > 0 && text[length - 1] == '\n');
	assert_null(memchr(text, '\n', length - 1));
	struct json_object *object = json_tokener_parse(text);
	assert_non_null(object);
	return object;
}

static const char *member(struct json_object *object, const char *name)
{
	struct json_object *value;

	assert_true(json_object_object_get_ex(object, name, &value));
	return json_object_get_string(value);
}

static void test_log_json_has_what_engines_read(void **state)
{
	struct tm when = { 0 };

	(void)state;
	log_setup("prog", fds[1], LOG_JSON, LOG_DEBUG);
	log_error("exec: \"%s\": not found", "no\\such");
	struct json_object *line = parse_line(logged());
	assert_string_equal(member(line, "level"), "error");
	assert_string_equal(member(line, "msg"), "exec: \"no\\such\": not found");
	assert_string_equal(strptime(member(line, "time"), "%Y-%m-%dT%H:%M:%SZ", &when), "");
	json_object_put(line);
}

static void test_log_json_escapes_every_byte(void **state)
{
	char all[128];

	(void)state;
	for (unsigned i = 1; i < sizeof all; i++)
		all[i - 1] = (char)i;
	all[127] = '\0';
	log_setup("prog", fds[1], LOG_JSON, LOG_DEBUG);
	log_info("%s", all);
	struct json_object *line = parse_line(logged());
	assert_string_equal(member(line, "msg"), all);
	json_object_put(line);
}

static void test_log_json_too_long_is_cut_between_escapes(void **state)
{
	char text[8192];

	(void)state;
	/* Each length puts the end of the line at another place in an escape. */
	for (unsigned i = 0; i < 8; i++) {
		memset(text, '\x01', sizeof text);
		memset(text, 'a', i);
		text[sizeof text - 1] = '\0';
		setup(state);
		log_setup("prog", fds[1], LOG_JSON, LOG_DEBUG);
		log_info("%s", text);
		const char *got = logged();
		assert_true(strlen(got) <= 4096);
		struct json_object *line = parse_line(got);
		assert_true(strlen(member(line, "msg")) > 600);
		json_object_put(line);
		close(fds[0]);
	}
	setup(state);
}

static void test_log_text_too_long_is_one_line(void **state)
{
	char text[8192];

	(void)state;
	memset(text, 'a', sizeof text);
	text[sizeof text - 1] = '\0';
	log_setup("prog", fds[1], LOG_TEXT, LOG_DEBUG);
	log_info("%s", text);
	const char *got = logged();
	size_t length = strlen(got);
	assert_in_range(length, 3000, 4096);
	assert_true(strchr(got, '\n') == got + length - 1);
}

static void test_log_guest_text_is_quoted_and_escaped(void **state)
{
	(void)state;
	log_setup("prog", fds[1], LOG_TEXT, LOG_DEBUG);
	log_guest(LOG_WARN, "panic", "a\n\x1b[31m\"\\\0\xff!", 12);
	assert_string_equal(logged(), "prog: warning: panic: guest says \"a\\x0a\\x1b[31m\\x22\\x5c\\x00\\xff!\"\n");
}

static void test_log_guest_text_is_limited(void **state)
{
	uint8_t bytes[5000];

	(void)state;
	memset(bytes, 0xff, sizeof bytes);
	log_setup("prog", fds[1], LOG_TEXT, LOG_DEBUG);
	log_guest(LOG_WARN, "w", bytes, sizeof bytes);
	const char *got = logged();
	assert_int_equal(strlen(got), strlen("prog: warning: w: guest says \"\"\n") + 512 * 4 + 3);
	assert_non_null(strstr(got, "\\xff...\"\n"));
}

static void test_log_guest_text_as_json_is_json(void **state)
{
	uint8_t bytes[256];

	(void)state;
	for (unsigned i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)i;
	log_setup("prog", fds[1], LOG_JSON, LOG_DEBUG);
	log_guest(LOG_WARN, "w", bytes, sizeof bytes);
	struct json_object *line = parse_line(logged());
	assert_string_equal(member(line, "level"), "warning");
	assert_non_null(strstr(member(line, "msg"), "\\x00\\x01"));
	json_object_put(line);
}

static void test_log_limit_stops_a_flood(void **state)
{
	struct log_limit limit = { 0 };
	unsigned allowed = 0;

	(void)state;
	for (unsigned i = 0; i < 10000; i++)
		allowed += log_limit_allows(&limit, 5);
	assert_in_range(allowed, 5, 10); /* a second may have ended meanwhile */
	assert_int_equal(limit.dropped, 10000 - allowed);
	/* Another second, another five. */
	limit.second--;
	assert_true(log_limit_allows(&limit, 5));
}

/* Fixed: a line a second is 10 MB of the host's memory in a day. */
static void test_log_limit_stops_a_trickle(void **state)
{
	struct log_limit limit = { 0 };
	unsigned allowed = 0;

	(void)state;
	for (unsigned second = 0; second < 10000; second++) {
		limit.second = 0; /* long ago */
		for (unsigned i = 0; i < 3; i++)
			allowed += log_limit_allows(&limit, 2);
	}
	assert_int_equal(allowed, 2 * LOG_LIMIT_BURSTS);
}

static void test_log_level_has_a_name_and_back(void **state)
{
	enum log_level level = LOG_ERROR;

	(void)state;
	for (int i = 0; i < LOG_LEVEL_COUNT; i++) {
		assert_true(log_level_parse(log_level_name((enum log_level)i), &level));
		assert_int_equal(level, i);
	}
	assert_false(log_level_parse("warning", &level));
	assert_false(log_level_parse("", &level));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_log_text_names_program_and_level),
		TEST(test_log_lower_levels_are_left_out),
		TEST(test_log_without_fd_is_silent),
		TEST(test_log_json_asks_no_file_for_the_time),
		TEST(test_log_errno_survives),
		TEST(test_log_json_has_what_engines_read),
		TEST(test_log_json_escapes_every_byte),
		TEST(test_log_json_too_long_is_cut_between_escapes),
		TEST(test_log_text_too_long_is_one_line),
		TEST(test_log_guest_text_is_quoted_and_escaped),
		TEST(test_log_guest_text_is_limited),
		TEST(test_log_guest_text_as_json_is_json),
		TEST(test_log_limit_stops_a_flood),
		TEST(test_log_limit_stops_a_trickle),
		TEST(test_log_level_has_a_name_and_back),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
