/* SPDX-License-Identifier: Apache-2.0 */
/* JSON of any kind: what is read, what is refused, and in which words. */
#include "oci/json.h"
#include "oci/strings.h"

#include "common/auto.h"
#include "common/err.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static int parse(const char *text, size_t length, struct err *err)
{
	struct json_object *object = NULL;
	int result = oci_json_parse("x.json", text, length, &object, err);

	json_object_put(object);
	return result;
}

static void json_text_not_an_object_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "", "x.json: empty, should be a JSON object" },
		{ " \n\t", "x.json: empty, should be a JSON object" },
		{ "[1]", "x.json: must be a JSON object, which begins with '{'" },
		{ "5", "x.json: must be a JSON object, which begins with '{'" },
		{ "\"a\"", "x.json: must be a JSON object, which begins with '{'" },
		{ "null", "x.json: must be a JSON object, which begins with '{'" },
		{ "hello", "x.json: line 1, column 1: unexpected character" },
		{ "\xef\xbb\xbf{}", "x.json: line 1, column 1: unexpected character" },
		{ "{", "x.json: line 1, column 2: unexpected end" },
		{ "{\"a\":\"b", "x.json: line 1, column 8: unexpected end" },
		{ "{\n \"a\": b\n}", "x.json: line 2, column 7: unexpected character" },
		{ "{\"a\":1,}", "x.json: line 1, column 8: unexpected character" },
		{ "{a:1}", "x.json: line 1, column 2: quoted object property name expected" },
		{ "{'a':1}", "x.json: line 1, column 2: unexpected character" },
		{ "{\"a\" 1}", "x.json: line 1, column 6: object property name separator ':' expected" },
		{ "{\"a\":1}\n{}", "x.json: line 2, column 1: unexpected character after the end of the document" },
		{ "{\"a\":1e}", "x.json: line 1, column 8: number expected" },
		{ "{\"a\":18446744073709551616}", "x.json: line 1, column 6: number out of range" },
		{ "{\"a\":-9223372036854775809}", "x.json: line 1, column 7: number out of range" },
		{ "{\"a\":99999999999999999999999}", "x.json: line 1, column 6: number out of range" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct err err = ERR_INIT;

		assert_int_equal(parse(cases[i].text, strlen(cases[i].text), &err), -1);
		assert_string_equal(err.text, cases[i].error);
	}
}

static void json_text_good_is_read(void **state)
{
	static const char *const cases[] = {
		"{}",
		" {} \r\n\t",
		"{\"a\":18446744073709551615}",
		"{\"a\":-9223372036854775808}",
		"{\"a\":\"99999999999999999999999 'x' \\\" 99999999999999999999999\"}",
		"{\"a\":1.5e99999999999999999999999}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct err err = ERR_INIT;

		if (parse(cases[i], strlen(cases[i]), &err) < 0)
			fail_msg("%s: %s", cases[i], err.text);
	}
}

static void json_text_with_nul_byte_is_refused(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(parse("{\"a\":\0 1}", 9, &err), -1);
	assert_string_equal(err.text, "x.json: line 1, column 6: unexpected character");
	assert_int_equal(parse("{}\0", 3, &err), -1);
	assert_string_equal(err.text, "x.json: line 1, column 3: unexpected character after the end of the document");
}

static char *nested(int levels, const char *inside)
{
	char *text = malloc((size_t)levels * 2 + 64);
	char *end = stpcpy(text, "{\"a\":");

	for (int i = 1; i < levels; i++)
		*end++ = '[';
	end = stpcpy(end, inside);
	for (int i = 1; i < levels; i++)
		*end++ = ']';
	strcpy(end, "}");
	return text;
}

static void json_nesting_beyond_limit_is_refused(void **state)
{
	auto_free char *allowed = nested(OCI_JSON_DEPTH_MAX, "1");
	auto_free char *above = nested(OCI_JSON_DEPTH_MAX + 1, "1");
	auto_free char *far_above = nested(10000, "");
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(parse(allowed, strlen(allowed), &err), 0);
	assert_int_equal(parse(above, strlen(above), &err), -1);
	assert_non_null(strstr(err.text, "nested deeper than 64 levels"));
	assert_int_equal(parse(far_above, strlen(far_above), &err), -1);
	assert_string_equal(err.text, "x.json: line 1, column 70: nested deeper than 64 levels");
}

static char directory[] = "/tmp/test_oci_json.XXXXXX";

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", directory);
	return system(command) == 0 ? 0 : -1;
}

static void json_file_too_large_is_refused_unread(void **state)
{
	char path[128], expected[192];
	struct json_object *object;
	struct err err = ERR_INIT;

	(void)state;
	snprintf(path, sizeof path, "%s/large.json", directory);
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 200 << 20), 0);
	assert_int_equal(oci_json_read(path, false, &object, &err), -1);
	snprintf(expected, sizeof expected, "%s: larger than 16 MiB", path);
	assert_string_equal(err.text, expected);
	assert_int_equal(err.code, EFBIG);
	/* A device has no size that would tell. */
	assert_int_equal(oci_json_read("/dev/zero", false, &object, &err), -1);
	assert_string_equal(err.text, "/dev/zero: larger than 16 MiB");
}

static void json_file_absent_or_a_directory_is_refused_by_name(void **state)
{
	struct json_object *object;
	struct err err = ERR_INIT;
	char expected[192];

	(void)state;
	assert_int_equal(oci_json_read("/nowhere/config.json", false, &object, &err), -1);
	assert_string_equal(err.text, "/nowhere/config.json: No such file or directory");
	assert_int_equal(oci_json_read(directory, false, &object, &err), -1);
	snprintf(expected, sizeof expected, "%s: is a directory", directory);
	assert_string_equal(err.text, expected);
}

static void json_file_through_pipe_is_read(void **state)
{
	struct json_object *object;
	struct err err = ERR_INIT;
	int ends[2];
	static char text[60000];

	(void)state;
	/* Larger than the first buffer, to see it grow. */
	int n = snprintf(text, sizeof text, "{\"a\":\"%*s\"}", 50000, "x");
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], text, (size_t)n), n);
	close(ends[1]);
	assert_int_equal(oci_json_read_fd("pipe", ends[0], &object, &err), 0);
	close(ends[0]);
	json_object_put(object);
}

/* One document, and what the typed getters make of its members. */
static void json_values_of_wrong_type_are_refused_by_path(void **state)
{
	static const char text[] =
		"{\"o\":{\"number\":5,\"big\":18446744073709551615,\"negative\":-1,\"text\":\"t\",\"flag\":true,"
		"\"fraction\":1.5,\"nul\":\"a\\u0000b\",\"list\":[\"a\",7],\"map\":{\"k\":1},\"nothing\":null}}";
	struct json_object *object;
	struct err err = ERR_INIT;
	struct oci_json o;
	int64_t i = 77;
	uint64_t u = 77;
	uint32_t u32 = 77;
	bool flag;
	auto_free char *string = NULL;
	struct oci_strings strings = { 0 };
	struct oci_map map = { 0 };

	(void)state;
	assert_int_equal(oci_json_parse("x", text, strlen(text), &object, &err), 0);
	struct oci_json document = oci_json_document(object);
	assert_int_equal(oci_json_object(&document, "o", &o, &err), 1);

#define REFUSED(call, words)                          \
	do {                                          \
		assert_int_equal(call, -1);           \
		assert_string_equal(err.text, words); \
	} while (0)
	REFUSED(oci_json_int(&o, "text", 0, 9, &i, &err), "o.text: must be an integer");
	REFUSED(oci_json_int(&o, "fraction", 0, 9, &i, &err), "o.fraction: must be an integer");
	REFUSED(oci_json_int(&o, "number", 6, 9, &i, &err), "o.number: must be from 6 to 9, not 5");
	REFUSED(oci_json_int(&o, "big", INT64_MIN, INT64_MAX, &i, &err),
		"o.big: must be from -9223372036854775808 to 9223372036854775807, not 18446744073709551615");
	REFUSED(oci_json_uint(&o, "negative", 9, &u, &err), "o.negative: must be from 0 to 9, not -1");
	REFUSED(oci_json_uint32(&o, "big", &u32, &err),
		"o.big: must be from 0 to 4294967295, not 18446744073709551615");
	REFUSED(oci_json_bool(&o, "number", &flag, &err), "o.number: must be true or false");
	REFUSED(oci_json_string(&o, "number", &string, &err), "o.number: must be a string");
	REFUSED(oci_json_string(&o, "nul", &string, &err), "o.nul: must not contain a NUL character");
	REFUSED(oci_json_strings(&o, "text", &strings, &err), "o.text: must be an array of strings");
	REFUSED(oci_json_strings(&o, "list", &strings, &err), "o.list[1]: must be a string");
	REFUSED(oci_json_map(&o, "map", &map, &err), "o.map.k: must be a string");
	REFUSED(oci_json_object(&o, "list", &(struct oci_json){ 0 }, &err), "o.list: must be an object");
	REFUSED(oci_json_array(&o, "map", &(struct oci_json){ 0 }, &err), "o.map: must be an array");
	REFUSED(oci_json_need_string(&o, "absent", &string, &err), "o.absent: missing");
	REFUSED(oci_json_need_string(&o, "nothing", &string, &err), "o.nothing: missing");
	REFUSED(oci_json_need_path(&o, "text", &string, &err), "o.text: must be an absolute path, not \"t\"");
	REFUSED(oci_json_need_uint(&o, "absent", 9, &u, &err), "o.absent: missing");
#undef REFUSED
	/* Absent, and null, leave the default. */
	assert_int_equal(oci_json_int(&o, "absent", 0, 9, &i, &err), 0);
	assert_int_equal(oci_json_int(&o, "nothing", 0, 9, &i, &err), 0);
	assert_int_equal(i, 77);
	assert_int_equal(oci_json_uint(&o, "big", UINT64_MAX, &u, &err), 1);
	assert_true(u == UINT64_MAX);
	oci_strings_destroy(&strings);
	oci_map_destroy(&map);
	json_object_put(object);
}

static void json_list_too_long_is_refused(void **state)
{
	size_t length = 0;
	auto_free char *text = malloc(OCI_JSON_ITEMS_MAX * 4 + 64);
	struct json_object *object;
	struct err err = ERR_INIT;
	struct oci_json array;

	(void)state;
	length += (size_t)sprintf(text, "{\"a\":[");
	for (int i = 0; i <= OCI_JSON_ITEMS_MAX; i++)
		length += (size_t)sprintf(text + length, "%s1", i ? "," : "");
	length += (size_t)sprintf(text + length, "]}");
	assert_int_equal(oci_json_parse("x", text, length, &object, &err), 0);
	struct oci_json document = oci_json_document(object);
	assert_int_equal(oci_json_array(&document, "a", &array, &err), -1);
	assert_string_equal(err.text, "a: has more than 65535 elements");
	json_object_put(object);
}

static void json_refusal_is_one_printable_line(void **state)
{
	struct json_object *object;
	struct err err = ERR_INIT;
	static const char text[] = "{\"a\\u001b[31m\\nb\":{\"c\":5}}";
	auto_free char *string = NULL;
	struct oci_json member;

	(void)state;
	assert_int_equal(oci_json_parse("x", text, strlen(text), &object, &err), 0);
	struct oci_json document = oci_json_document(object);
	assert_int_equal(oci_json_object(&document, "a\x1b[31m\nb", &member, &err), 1);
	assert_int_equal(oci_json_string(&member, "c", &string, &err), -1);
	assert_string_equal(err.text, "a?[31m?b.c: must be a string");
	json_object_put(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_text_not_an_object_is_refused_with_its_place),
		cmocka_unit_test(json_text_good_is_read),
		cmocka_unit_test(json_text_with_nul_byte_is_refused),
		cmocka_unit_test(json_nesting_beyond_limit_is_refused),
		cmocka_unit_test(json_file_too_large_is_refused_unread),
		cmocka_unit_test(json_file_absent_or_a_directory_is_refused_by_name),
		cmocka_unit_test(json_file_through_pipe_is_read),
		cmocka_unit_test(json_values_of_wrong_type_are_refused_by_path),
		cmocka_unit_test(json_list_too_long_is_refused),
		cmocka_unit_test(json_refusal_is_one_printable_line),
	};

	return cmocka_run_group_tests_name("oci/json", tests, make_directory, remove_directory);
}
