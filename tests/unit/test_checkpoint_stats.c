/* SPDX-License-Identifier: Apache-2.0 */
/* The file is read by programs that were written for CRIU's. */
#include "runtime/checkpoint_stats.h"

#include "common/auto.h"
#include "common/err.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void test_checkpoint_stats_are_a_criu_image(void **state)
{
	static const uint8_t expected[] = {
		0x40, 0x59, 0x10, 0x55, 0x06, 0x33, 0x09, 0x57, 24, 0, 0, 0, /* magic numbers, length */
		0x0a, 22,                                                    /* dump */
		0x08, 1,                                                     /* freezing_time */
		0x10, 0xac, 0x02,                                            /* frozen_time: 300 */
		0x18, 0,                                                     /* memdump_time */
		0x20, 0xff, 0xff, 0xff, 0xff, 0x0f,                          /* memwrite_time: the largest */
		0x28, 0x80, 0x01,                                            /* pages_scanned: 128 */
		0x30, 0,                                                     /* pages_skipped_parent */
		0x38, 0x7f,                                                  /* pages_written: 127 */
		0x48, 0,                                                     /* pages_lazy */
	};
	const struct checkpoint_stats stats = {
		.freezing_us = 1, .frozen_us = 300, .write_us = 1ULL << 40, .pages = 128, .pages_written = 127
	};
	char directory[] = "/tmp/checkpoint_stats.XXXXXX", path[64];
	uint8_t found[128];
	struct err err = ERR_INIT;

	(void)state;
	assert_non_null(mkdtemp(directory));
	if (checkpoint_stats_write(&stats, directory, &err) < 0)
		fail_msg("%s", err.text);
	snprintf(path, sizeof path, "%s/stats-dump", directory);
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, found, sizeof found), sizeof expected);
	assert_memory_equal(found, expected, sizeof expected);
	assert_int_equal(unlink(path) | rmdir(directory), 0);
	assert_int_equal(checkpoint_stats_write(&stats, directory, &err), -1);
	assert_non_null(strstr(err.text, "--work-path: /tmp/checkpoint_stats."));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checkpoint_stats_are_a_criu_image),
	};

	return cmocka_run_group_tests_name("checkpoint_stats", tests, NULL, NULL);
}
