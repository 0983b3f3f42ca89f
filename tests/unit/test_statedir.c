/* SPDX-License-Identifier: Apache-2.0 */
/* State directories: made once, locked, removed whole. */
#include "runtime/statedir.h"

#include "common/err.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char base[64], root[128];

static int setup(void **state)
{
	(void)state;
	strcpy(base, "/tmp/test_statedir.XXXXXX");
	if (!mkdtemp(base))
		return -1;
	snprintf(root, sizeof root, "%s/a/b", base);
	return 0;
}

static int teardown(void **state)
{
	char path[160];

	(void)state;
	snprintf(path, sizeof path, "%s/a/b", base);
	rmdir(path);
	snprintf(path, sizeof path, "%s/a", base);
	rmdir(path);
	return rmdir(base); /* only if all of it is gone */
}

static void touch(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static void test_statedir_made_and_removed(void **state)
{
	struct err err = ERR_INIT;
	struct stat st;
	int fd = statedir_create(root, "box", &err);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_true(statedir_is_current(root, "box", fd));
	touch(fd, STATEDIR_STATE);
	touch(fd, "log");
	assert_int_equal(mkdirat(fd, "exec", 0700), 0);
	touch(fd, "exec/1");
	assert_int_equal(statedir_remove(root, "box", fd, &err), 0);
	assert_false(statedir_is_current(root, "box", fd));
	close(fd);
	assert_int_equal(statedir_open(root, "box", false, &err), -1);
	assert_int_equal(err.code, ENOENT);
	assert_non_null(strstr(err.text, "does not exist"));
}

static void test_statedir_second_of_a_name_is_refused(void **state)
{
	struct err err = ERR_INIT;
	int fd = statedir_create(root, "box", &err);

	(void)state;
	assert_int_equal(statedir_create(root, "box", &err), -1);
	assert_int_equal(err.code, EEXIST);
	assert_non_null(strstr(err.text, "container with given ID already exists"));
	assert_int_equal(statedir_remove(root, "box", fd, &err), 0);
	close(fd);
}

static void test_statedir_lock_waits_for_the_other(void **state)
{
	struct err err = ERR_INIT;
	int fd = statedir_create(root, "box", &err), go[2], status;
	char byte;

	(void)state;
	assert_int_equal(pipe(go), 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(fd); /* the lock is in the description, which the parent has too */
		int other = statedir_open(root, "box", false, &err);
		if (other < 0 || write(go[1], "1", 1) != 1)
			_exit(1);
		/* Comes back only when the parent has removed the directory. */
		if (statedir_lock(other, "box", &err) < 0)
			_exit(2);
		_exit(statedir_is_current(root, "box", other) ? 3 : 0);
	}
	assert_int_equal(read(go[0], &byte, 1), 1);
	assert_int_equal(statedir_remove(root, "box", fd, &err), 0);
	close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(go[0]);
	close(go[1]);
}

static void test_statedir_ids_that_are_no_names_are_refused(void **state)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "../x", "a b", "a\n" };
	struct err err = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(statedir_open(root, bad[i], false, &err), -1);
}

static int count_one(const char *id, void *arg)
{
	assert_true(strcmp(id, "one") == 0 || strcmp(id, "two") == 0);
	++*(int *)arg;
	return 0;
}

static void test_statedir_each_sees_containers_only(void **state)
{
	struct err err = ERR_INIT;
	int count = 0;

	(void)state;
	assert_int_equal(statedir_each("/no/such/root", count_one, &count, &err), 0);
	assert_int_equal(count, 0);
	int one = statedir_create(root, "one", &err), two = statedir_create(root, "two", &err);
	int dir = open(root, O_RDONLY | O_DIRECTORY);
	touch(dir, "no-host-limits,noted");
	assert_int_equal(statedir_each(root, count_one, &count, &err), 0);
	assert_int_equal(count, 2);
	unlinkat(dir, "no-host-limits,noted", 0);
	close(dir);
	assert_int_equal(statedir_remove(root, "one", one, &err), 0);
	assert_int_equal(statedir_remove(root, "two", two, &err), 0);
	close(one);
	close(two);
}

static void test_statedir_root_that_cannot_be_made_is_named(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(statedir_create("/dev/null/x", "box", &err), -1);
	assert_non_null(strstr(err.text, "/dev/null"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_statedir_made_and_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_statedir_second_of_a_name_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_statedir_lock_waits_for_the_other, setup, teardown),
		cmocka_unit_test(test_statedir_ids_that_are_no_names_are_refused),
		cmocka_unit_test_setup_teardown(test_statedir_each_sees_containers_only, setup, teardown),
		cmocka_unit_test(test_statedir_root_that_cannot_be_made_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
