/* SPDX-License-Identifier: Apache-2.0 */
/* Signals as users write them. */
#include "runtime/signals.h"

#include "common/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_signals_names_and_numbers(void **state)
{
	static const struct {
		const char *text;
		int number;
	} cases[] = {
		{ "9", 9 },           { "KILL", 9 },     { "SIGKILL", 9 },   { "kill", 9 },
		{ "sigkill", 9 },     { "TERM", 15 },    { "0", 0 },         { "64", 64 },
		{ "HUP", 1 },         { "SIGUSR2", 12 }, { "WINCH", 28 },    { "RTMIN", 34 },
		{ "SIGRTMIN+3", 37 }, { "RTMAX", 64 },   { "RTMAX-14", 50 }, { "POLL", 29 },
	};
	struct err err = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_int_equal(signal_parse(cases[i].text, &err), cases[i].number);
}

static void test_signals_unknown_is_refused_by_name(void **state)
{
	static const char *const bad[] = { "",        "SIG",     "NOSUCH",   "65",     "-9",         "9x",
					   "RTMIN-1", "RTMAX+1", "RTMIN+31", "RTMIN+", "99999999999" };

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct err err = ERR_INIT;

		assert_int_equal(signal_parse(bad[i], &err), -1);
		assert_non_null(strstr(err.text, bad[i]));
	}
}

static void test_signals_forwardable_leaves_our_own_out(void **state)
{
	sigset_t set;

	(void)state;
	signal_forwardable(&set);
	assert_true(sigismember(&set, SIGTERM) && sigismember(&set, SIGHUP) && sigismember(&set, SIGWINCH));
	assert_false(sigismember(&set, SIGKILL) || sigismember(&set, SIGSTOP) || sigismember(&set, SIGCHLD) ||
		     sigismember(&set, SIGPIPE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signals_names_and_numbers),
		cmocka_unit_test(test_signals_unknown_is_refused_by_name),
		cmocka_unit_test(test_signals_forwardable_leaves_our_own_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
