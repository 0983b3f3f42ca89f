/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's SELinux context, with a file in the place of the kernel's. */
#include "runtime/selinux.h"

#include "common/err.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void test_selinux_container_becomes_kvm_container(void **state)
{
	static const struct {
		const char *label, *monitor; /* NULL: refused */
	} rows[] = {
		{ "system_u:system_r:container_t:s0:c1,c2", "system_u:system_r:container_kvm_t:s0:c1,c2" },
		{ "system_u:system_r:container_t", "system_u:system_r:container_kvm_t" },
		{ "system_u:system_r:container_init_t:s0", "system_u:system_r:container_init_t:s0" },
		{ "system_u:system_r:my_container_t:s0", "system_u:system_r:my_container_t:s0" },
		{ "system_u:container_t:spc_t:s0-s0:c0.c1023", "system_u:container_t:spc_t:s0-s0:c0.c1023" },
		{ "container_t", NULL },
		{ "a:b", NULL },
		{ "a::c:s0", NULL },
		{ ":b:c:s0", NULL },
		{ "a:b:", NULL },
		{ "a:b:c d", NULL },
		{ "a:b:c\n", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct err err = ERR_INIT;
		char *monitor = selinux_monitor_label(rows[i].label, &err);

		if (rows[i].monitor) {
			assert_non_null(monitor);
			assert_string_equal(monitor, rows[i].monitor);
		} else {
			assert_null(monitor);
			assert_non_null(strstr(err.text, "process.selinuxLabel: "));
		}
		free(monitor);
	}
}

static void test_selinux_context_is_written_whole_and_refusal_is_told(void **state)
{
	char path[] = "/tmp/test_selinux.XXXXXX", got[64] = "";
	struct err err = ERR_INIT;
	int fd = mkstemp(path);

	(void)state;
	assert_int_equal(selinux_set_exec(path, "u:r:t:s0:c1,c2", &err), 0);
	assert_int_equal(read(fd, got, sizeof got - 1), 14);
	assert_string_equal(got, "u:r:t:s0:c1,c2");
	close(fd);
	unlink(path);
	/* A kernel that refuses does so by the write's error. */
	assert_int_equal(selinux_set_exec("/dev/full", "u:r:t:s0", &err), -1);
	assert_non_null(strstr(err.text, "does not take \"u:r:t:s0\" for the monitor (\"selinux\": false"));
	assert_int_equal(selinux_set_exec("/nowhere/attr/exec", "u:r:t:s0", &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_selinux_container_becomes_kvm_container),
		cmocka_unit_test(test_selinux_context_is_written_whole_and_refusal_is_told),
	};

	return cmocka_run_group_tests_name("selinux", tests, NULL, NULL);
}
