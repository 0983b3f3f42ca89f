/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: what the text becomes, and that nothing runs over its end. */
#include "common/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_err_init_is_empty(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(err.code, 0);
	assert_string_equal(err.text, "");
}

static void test_err_set_stores_code_and_text(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(err_set(&err, ENOENT, "bundle %s", "/b"), -1);
	assert_int_equal(err.code, ENOENT);
	assert_string_equal(err.text, "bundle /b");
	assert_int_equal(err_set(&err, EPERM, "another"), -1);
	assert_int_equal(err.code, EPERM);
	assert_string_equal(err.text, "another");
}

static void test_err_set_without_code_is_an_error_still(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	err_set(&err, 0, "odd");
	assert_int_equal(err.code, EIO);
}

static void test_err_set_errno_appends_the_reason(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	errno = EACCES;
	assert_int_equal(err_set_errno(&err, "open %d", 7), -1);
	assert_int_equal(err.code, EACCES);
	assert_string_equal(err.text, "open 7: Permission denied");
	errno = 0;
	err_set_errno(&err, "open");
	assert_int_equal(err.code, EIO);
}

static void test_err_wrap_puts_context_before_and_keeps_the_code(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	err_set(&err, ENOENT, "no such file");
	assert_int_equal(err_wrap(&err, "mount %d", 3), -1);
	assert_int_equal(err_wrap(&err, "container %s", "c1"), -1);
	assert_int_equal(err.code, ENOENT);
	assert_string_equal(err.text, "container c1: mount 3: no such file");
}

static void test_err_wrap_of_nothing_is_an_error(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	err_wrap(&err, "context");
	assert_int_equal(err.code, EIO);
}

static void test_err_text_too_long_is_cut(void **state)
{
	struct {
		struct err err;
		char guard[64];
	} box = { .err = ERR_INIT };
	char text[3 * ERR_TEXT_MAX];

	(void)state;
	memset(box.guard, 0x5a, sizeof box.guard);
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	err_set(&box.err, ENOENT, "%s", text);
	assert_int_equal(strlen(box.err.text), ERR_TEXT_MAX - 1);
	errno = ENOENT;
	err_set_errno(&box.err, "%s", text);
	assert_int_equal(strlen(box.err.text), ERR_TEXT_MAX - 1);
	err_wrap(&box.err, "y");
	assert_int_equal(strlen(box.err.text), ERR_TEXT_MAX - 1);
	assert_memory_equal(box.err.text, "y: xxx", 6);
	err_wrap(&box.err, "%s", text);
	assert_int_equal(strlen(box.err.text), ERR_TEXT_MAX - 1);
	for (unsigned i = 0; i < sizeof box.guard; i++)
		assert_int_equal(box.guard[i], 0x5a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_err_init_is_empty),
		cmocka_unit_test(test_err_set_stores_code_and_text),
		cmocka_unit_test(test_err_set_without_code_is_an_error_still),
		cmocka_unit_test(test_err_set_errno_appends_the_reason),
		cmocka_unit_test(test_err_wrap_puts_context_before_and_keeps_the_code),
		cmocka_unit_test(test_err_wrap_of_nothing_is_an_error),
		cmocka_unit_test(test_err_text_too_long_is_cut),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
