/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks: state on standard input, time-outs, and errors that name the hook. */
#include "runtime/run_hooks.h"

#include "common/err.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char sh[] = "/bin/sh", c[] = "-c", environment[] = "MARK=here";

static int run_shell(const char *script, const char *state_text, unsigned timeout, struct err *err)
{
	char text[512];
	char *args[] = { sh, c, text };
	char *env[] = { environment };
	struct oci_hook hook = { .path = sh, .args = { args, 3 }, .env = { env, 1 }, .timeout = timeout };
	struct oci_hook_list list = { &hook, 1 };

	snprintf(text, sizeof text, "%s", script);
	return run_hooks(OCI_HOOK_CREATE_RUNTIME, &list, state_text, "/", -1, err);
}

static void test_run_hooks_state_arrives_whole(void **state)
{
	struct err err = ERR_INIT;
	char *large = malloc(300001);

	(void)state;
	memset(large, 'x', 300000);
	large[300000] = '\0';
	assert_int_equal(run_shell("[ \"$(wc -c)\" -eq 300000 ] && [ $MARK = here ] && [ $PWD = / ]", large, 0, &err),
			 0);
	/* One that does not read it is fine. */
	assert_int_equal(run_shell("exec true", large, 0, &err), 0);
	assert_int_equal(run_shell("exec 0</dev/null; sleep 0.1", large, 0, &err), 0);
	free(large);
}

static void test_run_hooks_without_environment_have_ours(void **state)
{
	struct err err = ERR_INIT;
	char script[] = "[ $MARK = ours ]";
	char *args[] = { sh, c, script };
	struct oci_hook hook = { .path = sh, .args = { args, 3 }, .inherits_env = true };
	struct oci_hook_list list = { &hook, 1 };

	(void)state;
	setenv("MARK", "ours", 1);
	assert_int_equal(run_hooks(OCI_HOOK_PRESTART, &list, "{}", "/", -1, &err), 0);
	hook.inherits_env = false; /* an empty one is empty */
	assert_int_equal(run_hooks(OCI_HOOK_PRESTART, &list, "{}", "/", -1, &err), -1);
	unsetenv("MARK");
}

static void test_run_hooks_failure_is_named_with_its_output(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(run_shell("echo said; printf 'two\\nlines' >&2; exit 3", "{}", 0, &err), -1);
	assert_non_null(strstr(err.text, "error running createRuntime hook #0"));
	assert_non_null(strstr(err.text, "exit status 3, stdout: said, stderr: two lines"));
	assert_int_equal(run_shell("kill -9 $$", "{}", 0, &err), -1);
	assert_non_null(strstr(err.text, "signal 9"));
}

static void test_run_hooks_missing_program_is_named(void **state)
{
	char path[] = "/no/such/hook";
	struct oci_hook hook = { .path = path };
	struct oci_hook_list list = { &hook, 1 };
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(run_hooks(OCI_HOOK_POSTSTART, &list, "{}", "/", -1, &err), -1);
	assert_non_null(strstr(err.text, "poststart hook #0: /no/such/hook"));
	assert_non_null(strstr(err.text, "No such file"));
}

static void test_run_hooks_timeout_kills_the_whole_group(void **state)
{
	struct err err = ERR_INIT;
	time_t before = time(NULL);

	(void)state;
	assert_int_equal(run_shell("sleep 60 & sleep 60", "{}", 1, &err), -1);
	assert_non_null(strstr(err.text, "not done after 1 seconds"));
	assert_true(time(NULL) - before < 30);
}

static void test_run_hooks_background_child_is_not_waited_for(void **state)
{
	struct err err = ERR_INIT;
	time_t before = time(NULL);

	(void)state;
	assert_int_equal(run_shell("sleep 20 &", "{}", 0, &err), 0);
	assert_true(time(NULL) - before < 15);
}

static void test_run_hooks_much_output_does_not_stop_the_hook(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(run_shell("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2", "{}", 0, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run_hooks_state_arrives_whole),
		cmocka_unit_test(test_run_hooks_without_environment_have_ours),
		cmocka_unit_test(test_run_hooks_failure_is_named_with_its_output),
		cmocka_unit_test(test_run_hooks_missing_program_is_named),
		cmocka_unit_test(test_run_hooks_timeout_kills_the_whole_group),
		cmocka_unit_test(test_run_hooks_background_child_is_not_waited_for),
		cmocka_unit_test(test_run_hooks_much_output_does_not_stop_the_hook),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
