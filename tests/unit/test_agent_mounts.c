/* SPDX-License-Identifier: Apache-2.0 */
/* What mount options become, and which container has a /dev of its own. */
#include "guest-agent/copyup.c"
#include "guest-agent/errtext.c"
#include "guest-agent/mounts.c"
#include "guest-agent/paths.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define SET(name) KERNEL_MOUNT_ATTR_##name

static void test_mounts_flags_become_attributes(void **state)
{
	static const struct {
		uint64_t flags, cleared, attr_set, attr_clear;
	} rows[] = {
		{ 0, 0, 0, 0 },
		{ MS_RDONLY | MS_NOSUID, 0, SET(RDONLY) | SET(NOSUID), 0 },
		{ MS_BIND | MS_REC | MS_NODEV, 0, SET(NODEV), 0 },
		{ 0, MS_RDONLY | MS_NOEXEC, 0, SET(RDONLY) | SET(NOEXEC) },
		/* What is set and cleared was set last. */
		{ MS_NODEV, MS_NODEV, SET(NODEV), 0 },
		/* The access time field is emptied first, whichever way it goes. */
		{ MS_NOATIME, 0, SET(NOATIME), SET(ATIME) },
		{ MS_STRICTATIME, 0, SET(STRICTATIME), SET(ATIME) },
		{ MS_RELATIME, 0, 0, SET(ATIME) },
		{ 0, MS_NOATIME, 0, SET(ATIME) },
		{ MS_NODIRATIME | MS_NOSYMFOLLOW, 0, SET(NODIRATIME) | SET(NOSYMFOLLOW), 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint64_t attr_set, attr_clear;

		mounts_attributes(rows[i].flags, rows[i].cleared, &attr_set, &attr_clear);
		assert_int_equal(attr_set, rows[i].attr_set);
		assert_int_equal(attr_clear, rows[i].attr_clear);
	}
}

static void test_mounts_own_dev_is_the_last_at_dev(void **state)
{
	agent_Mount mounts[] = {
		{ .destination = (char *)"/dev", .type = (char *)"tmpfs" },
		{ .destination = (char *)"/dev/pts", .type = (char *)"devpts" },
		{ .destination = (char *)"/dev/", .type = (char *)"bind", .flags = MS_BIND },
	};
	agent_Container container = { .mounts = mounts };

	(void)state;
	assert_false(mounts_have_own_dev(&container));
	container.mounts_count = 2;
	assert_true(mounts_have_own_dev(&container));
	container.mounts_count = 3;
	assert_false(mounts_have_own_dev(&container));
}

static void test_mounts_read_only_waits_for_tmpfs_and_dev_only(void **state)
{
	static const struct {
		agent_Mount mount;
		bool late;
	} rows[] = {
		{ { .destination = (char *)"/x", .type = (char *)"tmpfs", .flags = MS_RDONLY }, true },
		{ { .destination = (char *)"/x", .type = (char *)"tmpfs" }, false },
		{ { .destination = (char *)"/dev", .type = (char *)"devtmpfs", .flags = MS_RDONLY }, true },
		{ { .destination = (char *)"/sys", .type = (char *)"sysfs", .flags = MS_RDONLY }, false },
		{ { .destination = (char *)"/dev", .type = (char *)"bind", .flags = MS_RDONLY | MS_BIND }, false },
		{ { .destination = (char *)"/x", .type = (char *)"tmpfs", .flags = MS_RDONLY | MS_REMOUNT }, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_int_equal(is_made_read_only_late(&rows[i].mount), rows[i].late);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mounts_flags_become_attributes),
		cmocka_unit_test(test_mounts_own_dev_is_the_last_at_dev),
		cmocka_unit_test(test_mounts_read_only_waits_for_tmpfs_and_dev_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
