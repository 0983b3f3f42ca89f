/* SPDX-License-Identifier: Apache-2.0 */
/* Where the programs are found: in a build tree, below any prefix, else where the build said. */
#include "runtime/paths.h"

#include "common/err.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char top[] = "/tmp/test_paths.XXXXXX";

static const char *below(const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, PATH_MAX, "%s/%s", top, name);
	return path;
}

static void make_program(const char *name)
{
	int fd = open(below(name), O_CREAT | O_WRONLY, 0755);

	assert_true(fd >= 0);
	close(fd);
}

static int setup(void **state)
{
	static const char *const folders[] = { "tree", "usr", "usr/bin", "usr/libexec", "usr/libexec/bulkhead" };

	(void)state;
	assert_non_null(mkdtemp(top));
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
		assert_int_equal(mkdir(below(folders[i]), 0755), 0);
	make_program("tree/bulkhead-vmm");
	make_program("usr/libexec/bulkhead/bulkhead-vmm");
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = { "tree/bulkhead-vmm",
					     "usr/libexec/bulkhead/bulkhead-vmm",
					     "usr/libexec/bulkhead",
					     "usr/libexec",
					     "usr/bin",
					     "usr",
					     "tree",
					     "" };

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		remove(below(names[i]));
	return 0;
}

static void find(const char *program, struct paths *paths)
{
	struct err err = ERR_INIT;

	if (paths_find_from(program, paths, &err) < 0)
		fail_msg("%s", err.text);
}

static void test_paths_of_a_build_tree_lie_beside_the_program(void **state)
{
	struct paths paths;

	(void)state;
	find(below("tree/bulkhead"), &paths);
	assert_string_equal(paths.proxy, below("tree/bulkhead-proxy"));
	assert_string_equal(paths.kernel, below("tree/vmlinux"));
}

static void test_paths_of_an_installed_program_follow_its_prefix(void **state)
{
	struct paths paths;

	(void)state;
	find(below("usr/bin/bulkhead"), &paths);
	assert_string_equal(paths.monitor, below("usr/libexec/bulkhead/bulkhead-vmm"));
	assert_string_equal(paths.initrd, below("usr/share/bulkhead/initramfs"));
}

static void test_paths_of_any_other_place_are_those_of_the_build(void **state)
{
	struct paths paths;

	(void)state;
	find(below("bulkhead"), &paths);
	assert_string_equal(strrchr(paths.monitor, '/'), "/bulkhead-vmm");
	assert_null(strstr(paths.monitor, top));
	find("/bulkhead", &paths);
	assert_true(strlen(paths.cmdline) > strlen("/cmdline"));
}

static void test_paths_too_long_are_refused(void **state)
{
	static char program[PATH_MAX];
	struct paths paths;
	struct err err = ERR_INIT;

	(void)state;
	memset(program, 'x', sizeof program - 1);
	program[0] = program[sizeof program - 12] = '/';
	assert_int_equal(paths_find_from(program, &paths, &err), -1);
	assert_non_null(strstr(err.text, "path too long"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths_of_a_build_tree_lie_beside_the_program),
		cmocka_unit_test(test_paths_of_an_installed_program_follow_its_prefix),
		cmocka_unit_test(test_paths_of_any_other_place_are_those_of_the_build),
		cmocka_unit_test(test_paths_too_long_are_refused),
	};

	return cmocka_run_group_tests_name("paths", tests, setup, teardown);
}
