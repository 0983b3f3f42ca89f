/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines as engines and people write them. */
#include "runtime/options.h"

#include "common/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct values {
	const char *root, *log;
	bool debug, force;
	struct option_number count;
	struct option_list env;
};

static const struct option table[] = {
	{ "root", 0, OPTION_TEXT, offsetof(struct values, root), "DIR", "" },
	{ "log", 'l', OPTION_TEXT, offsetof(struct values, log), "FILE", "" },
	{ "debug", 'd', OPTION_FLAG, offsetof(struct values, debug), NULL, "" },
	{ "force", 'f', OPTION_FLAG, offsetof(struct values, force), NULL, "" },
	{ "count", 'n', OPTION_NUMBER, offsetof(struct values, count), "N", "" },
	{ "env", 'e', OPTION_LIST, offsetof(struct values, env), "K=V", "" },
	{ "criu", 0, OPTION_IGNORED, 0, NULL, NULL },
	OPTION_END,
};

struct result {
	struct values values;
	char *operands[16];
	int count;
	bool help;
	int status;
	struct err err;
};

/* The words of one line, separated by blanks. */
static struct result parse(const char *line, bool stop)
{
	static char text[256];
	char *argv[16], *rest, *word;
	struct result r = { 0 };
	int argc = 0;

	strcpy(text, line);
	for (word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		argv[argc++] = word;
	r.status = options_parse(table, &r.values, argc, argv, stop, r.operands, &r.count, &r.help, &r.err);
	return r;
}

static void test_options_every_form_of_a_value_is_taken(void **state)
{
	static const char *const lines[] = {
		"--root /a --log x",           "--root=/a --log=x",       "--root /a -l x", "--root /a -lx",
		"--root /b --log x --root /a", "--criu y --root /a -l x", "-root /a -log=x" /* as Go programs may */
	};

	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		struct result r = parse(lines[i], false);

		assert_int_equal(r.status, 0);
		assert_string_equal(r.values.root, "/a");
		assert_string_equal(r.values.log, "x");
		assert_int_equal(r.count, 0);
	}
}

static void test_options_flags_take_true_and_false(void **state)
{
	(void)state;
	assert_true(parse("--debug", false).values.debug);
	assert_true(parse("--debug=true", false).values.debug);
	assert_false(parse("--debug=false", false).values.debug);
	assert_false(parse("--debug --debug=0", false).values.debug);
	assert_true(parse("-df", false).values.force);
	struct result r = parse("--debug=maybe", false);
	assert_int_equal(r.status, -1);
	assert_non_null(strstr(r.err.text, "maybe"));
}

static void test_options_joined_letters_end_with_a_value(void **state)
{
	struct result r = parse("-dfn 7 id", false);

	(void)state;
	assert_int_equal(r.status, 0);
	assert_true(r.values.debug && r.values.force && r.values.count.given);
	assert_int_equal(r.values.count.value, 7);
	assert_int_equal(r.count, 1);
	assert_string_equal(r.operands[0], "id");
}

static void test_options_list_collects_in_order(void **state)
{
	struct result r = parse("-e A=1 --env B=2 --env=C=3", false);

	(void)state;
	assert_int_equal(r.values.env.count, 3);
	assert_string_equal(r.values.env.items[0], "A=1");
	assert_string_equal(r.values.env.items[2], "C=3");
	options_release(table, &r.values);
	assert_int_equal(r.values.env.count, 0);
}

static void test_options_after_operand_are_still_options(void **state)
{
	struct result r = parse("id --force KILL", false);

	(void)state;
	assert_true(r.values.force);
	assert_int_equal(r.count, 2);
	assert_string_equal(r.operands[1], "KILL");
}

static void test_options_stop_at_operand_leaves_the_rest_alone(void **state)
{
	struct result r = parse("-d id ls --force -x", true);

	(void)state;
	assert_int_equal(r.status, 0);
	assert_false(r.values.force);
	assert_int_equal(r.count, 4);
	assert_string_equal(r.operands[3], "-x");
}

static void test_options_double_dash_ends_them(void **state)
{
	struct result r = parse("-- --force", false);

	(void)state;
	assert_int_equal(r.count, 1);
	assert_string_equal(r.operands[0], "--force");
	/* A lone dash is standard input, an operand. */
	assert_string_equal(parse("-", false).operands[0], "-");
}

static void test_options_mistakes_are_named(void **state)
{
	static const struct {
		const char *line, *text;
	} cases[] = {
		{ "--nosuch", "--nosuch" },
		{ "--nosuch=3", "--nosuch;" },
		{ "-x", "-x" },
		{ "--root", "--root needs" },
		{ "-l", "-l needs" },
		{ "-n x", "\"x\" is not a number" },
		{ "--count=1x", "\"1x\"" },
		{ "--count=", "\"\"" },
		{ "--count=99999999999999999999", "99999999999999999999" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct result r = parse(cases[i].line, false);

		assert_int_equal(r.status, -1);
		assert_non_null(strstr(r.err.text, cases[i].text));
	}
}

static void test_options_help_wins(void **state)
{
	(void)state;
	assert_true(parse("--debug --help --nosuch", false).help);
	assert_true(parse("-h", false).help);
	assert_false(parse("id -h", true).help);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_every_form_of_a_value_is_taken),
		cmocka_unit_test(test_options_flags_take_true_and_false),
		cmocka_unit_test(test_options_joined_letters_end_with_a_value),
		cmocka_unit_test(test_options_list_collects_in_order),
		cmocka_unit_test(test_options_after_operand_are_still_options),
		cmocka_unit_test(test_options_stop_at_operand_leaves_the_rest_alone),
		cmocka_unit_test(test_options_double_dash_ends_them),
		cmocka_unit_test(test_options_mistakes_are_named),
		cmocka_unit_test(test_options_help_wins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
