/* SPDX-License-Identifier: Apache-2.0 */
/* What of a guest's words reaches a terminal. */
#include "runtime/plain_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void test_plain_text_table(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "", "" },
		{ "exec: \"x\": no such file", "exec: \"x\": no such file" },
		{ "a\nb\x1b[2Jc\x7f", "a?b?[2Jc?" },
		{ "gr\xc3\xbc\xc3\x9f, \xe6\x97\xa5\xe6\x9c\xac, \xf0\x9f\x9a\xa2",
		  "gr\xc3\xbc\xc3\x9f, \xe6\x97\xa5\xe6\x9c\xac, \xf0\x9f\x9a\xa2" },
		/* Fixed: the control sequence introducer in one byte, and as UTF-8. */
		{ "\x9b"
		  "2J",
		  "?2J" },
		{ "\xc2\x9b"
		  "2J",
		  "??2J" },
		{ "\xc2\x80\xc2\x9f\xc2\xa0", "????\xc2\xa0" },
		/* No UTF-8: too long, surrogates, beyond the last character, cut off. */
		{ "\xc0\x8a", "??" },
		{ "\xe0\x80\x8a", "???" },
		{ "\xed\xa0\x80", "???" },
		{ "\xf4\x90\x80\x80", "????" },
		{ "\xff\xfe", "??" },
		{ "\xe6\x97", "??" },
		{ "\xc3", "?" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char text[64];

		snprintf(text, sizeof text, "%s", rows[i].in);
		plain_text(text);
		assert_string_equal(text, rows[i].out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_text_table),
	};

	return cmocka_run_group_tests_name("plain_text", tests, NULL, NULL);
}
