/* SPDX-License-Identifier: Apache-2.0 */
/* Command look-up, with runc's words; home directories; parameter names: what the agent finds by name. */
#include "guest-agent/errtext.c"
#include "guest-agent/files.c"
#include "guest-agent/home.c"
#include "guest-agent/lookup.c"
#include "guest-agent/sysctl.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

static char directory[64];

static int setup(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/test-lookup-XXXXXX");
	assert_non_null(mkdtemp(directory));
	assert_int_equal(chdir(directory), 0);
	assert_int_equal(mkdir("one", 0755), 0);
	assert_int_equal(mkdir("two", 0755), 0);
	assert_int_equal(mkdir("one/tool", 0755), 0); /* a folder of the name is no program */
	close(open("two/tool", O_CREAT | O_WRONLY, 0755));
	close(open("one/data", O_CREAT | O_WRONLY, 0644));
	close(open("here", O_CREAT | O_WRONLY, 0755));
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = { "two/tool", "one/data", "here" };

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unlink(names[i]);
	rmdir("one/tool");
	rmdir("one");
	rmdir("two");
	assert_int_equal(chdir("/"), 0);
	rmdir(directory);
	return 0;
}

static void expect_found(const char *name, const char *path_variable, const char *path)
{
	struct err err = ERR_INIT;
	char out[PATH_MAX];
	char variable[PATH_MAX];
	char *env[] = { (char *)"X=1", variable, NULL };

	snprintf(variable, sizeof variable, "PATH=%s", path_variable);
	assert_int_equal(lookup_program(name, env, out, &err), 0);
	assert_string_equal(out, path);
}

static void expect_error(const char *name, const char *path_variable, int code, const char *words)
{
	struct err err = ERR_INIT;
	char out[PATH_MAX];
	char variable[PATH_MAX];
	char *env[] = { variable, NULL };

	snprintf(variable, sizeof variable, "PATH=%s", path_variable);
	assert_int_equal(lookup_program(name, env, out, &err), -1);
	assert_int_equal(err.code, code);
	assert_string_equal(err.text, words);
}

static void test_lookup_path_is_searched_in_order(void **state)
{
	char expected[128], variable[160];

	(void)state;
	snprintf(variable, sizeof variable, "/nowhere:%s/one:%s/two", directory, directory);
	snprintf(expected, sizeof expected, "%s/two/tool", directory);
	expect_found("tool", variable, expected);
	expect_found("here", ":/nowhere", "./here");
	expect_found("tool", "two", "two/tool");
}

static void test_lookup_with_slash_is_the_file_itself(void **state)
{
	(void)state;
	expect_found("two/tool", "/nowhere", "two/tool");
	expect_found("./here", "", "./here");
}

static void test_lookup_failures_have_runcs_words(void **state)
{
	(void)state;
	expect_error("nope", "one:two", ENOENT, "exec: \"nope\": executable file not found in $PATH");
	expect_error("data", "one", ENOENT, "exec: \"data\": executable file not found in $PATH");
	expect_error("", "one", ENOENT, "exec: \"\": executable file not found in $PATH");
	expect_error("here", "", ENOENT, "exec: \"here\": executable file not found in $PATH");
	expect_error("/nope/x", "one", ENOENT, "exec: \"/nope/x\": stat /nope/x: no such file or directory");
	expect_error("here/x", "one", ENOTDIR, "exec: \"here/x\": stat here/x: not a directory");
	expect_error("one/data", "one", EACCES, "exec: \"one/data\": permission denied");
	expect_error("./one", "one", EISDIR, "exec: \"./one\": is a directory: permission denied");
	expect_error("a\"b\n\x01", "one", ENOENT, "exec: \"a\\\"b\\n\\x01\": executable file not found in $PATH");
}

static void test_lookup_without_path_uses_the_usual_one(void **state)
{
	char *env[] = { (char *)"A=b", NULL };
	char out[PATH_MAX];
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(lookup_program("sh", env, out, &err), 0);
	assert_true(strstr(out, "bin/sh") != NULL);
}

static void test_lookup_environment_last_value_counts(void **state)
{
	char *env[] = { (char *)"A=1", (char *)"AB=2", (char *)"A=3", (char *)"A", NULL };

	(void)state;
	assert_string_equal(lookup_environment(env, "A"), "3");
	assert_null(lookup_environment(env, "C"));
}

static void test_errtext_is_in_lower_case(void **state)
{
	char words[ERRTEXT_MAX];
	struct err err = ERR_INIT;

	(void)state;
	assert_string_equal(errtext(ENOENT, words), "no such file or directory");
	assert_string_equal(errtext(EACCES, words), "permission denied");
	assert_string_equal(errtext(EISDIR, words), "is a directory");
	assert_string_equal(errtext(ENOTDIR, words), "not a directory");
	assert_string_equal(errtext(ENOEXEC, words), "exec format error");
	errno = EPERM;
	assert_int_equal(errtext_set(&err, "doing %s", "this"), -1);
	assert_string_equal(err.text, "doing this: operation not permitted");
	assert_int_equal(err.code, EPERM);
}

static void test_home_is_found_by_number(void **state)
{
	static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
				     "broken line\n"
				     "short:x:7\n"
				     "::\n"
				     "empty:x:8:8:::\n"
				     "fake:x:1000x:1:::/no:\n"
				     "user:x:1000:1000:A User,,,:/home/user:/bin/sh\n"
				     "again:x:1000:1000::/second:\n"
				     "last:x:9:9::/last";
	static const struct {
		unsigned uid;
		const char *home;
	} rows[] = { { 0, "/root" }, { 7, "/" }, { 8, "/" }, { 1000, "/home/user" }, { 9, "/last" }, { 77, "/" } };
	char home[PATH_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		home_in_text(passwd, rows[i].uid, home);
		assert_string_equal(home, rows[i].home);
	}
	home_in_text("", 0, home);
	assert_string_equal(home, "/");
}

static void test_home_too_long_is_ignored(void **state)
{
	static char passwd[2 * PATH_MAX + 64];
	char home[PATH_MAX];

	(void)state;
	strcpy(passwd, "u:x:5:5::/");
	memset(passwd + strlen(passwd), 'a', 2 * PATH_MAX);
	home_in_text(passwd, 5, home);
	assert_string_equal(home, "/");
}

static void test_sysctl_names_become_paths(void **state)
{
	static const struct {
		const char *name, *path; /* NULL: refused */
	} rows[] = {
		{ "net.ipv4.ip_forward", "sys/net/ipv4/ip_forward" },
		{ "net/ipv4/ip_forward", "sys/net/ipv4/ip_forward" },
		{ "net.ipv4.conf.eth0/100.forwarding", "sys/net/ipv4/conf/eth0.100/forwarding" },
		{ "net/ipv4/conf/eth0.100/forwarding", "sys/net/ipv4/conf/eth0.100/forwarding" },
		{ "plain", "sys/plain" },
		{ "", NULL },
		{ "/etc/passwd", NULL },
		{ "kernel/../../self/mem", NULL },
		{ "kernel/..", NULL },
		{ "kernel//x", NULL },
		{ "kernel..x", NULL },
		{ "..", NULL },
	};
	char path[PATH_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_equal(sysctl_path(rows[i].name, path), rows[i].path != NULL);
		if (rows[i].path)
			assert_string_equal(path, rows[i].path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lookup_path_is_searched_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lookup_with_slash_is_the_file_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lookup_failures_have_runcs_words, setup, teardown),
		cmocka_unit_test(test_lookup_without_path_uses_the_usual_one),
		cmocka_unit_test(test_lookup_environment_last_value_counts),
		cmocka_unit_test(test_errtext_is_in_lower_case),
		cmocka_unit_test(test_home_is_found_by_number),
		cmocka_unit_test(test_home_too_long_is_ignored),
		cmocka_unit_test(test_sysctl_names_become_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
