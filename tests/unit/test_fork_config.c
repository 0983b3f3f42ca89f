/* SPDX-License-Identifier: Apache-2.0 */
/* What a fork's configuration keeps of its original's. */
#include "oci/fork_config.h"

#include "common/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_fork_config_what_there_is_one_of_is_left_out(void **state)
{
	static const char text[] =
		"{\"hostname\":\"original\",\"hooks\":{\"poststop\":[]},\"process\":{\"cwd\":\"/\"},"
		"\"linux\":{\"cgroupsPath\":\"/a\",\"netDevices\":{\"eth7\":{}},"
		"\"namespaces\":[{\"type\":\"network\",\"path\":\"/run/netns/a\"},{\"type\":\"pid\"}]}}";
	struct err err = ERR_INIT;
	char *out = oci_fork_config(text, "fork", &err);

	(void)state;
	assert_non_null(out);
	assert_string_equal(out, "{\"hostname\":\"fork\",\"process\":{\"cwd\":\"\\/\"},"
				 "\"linux\":{\"namespaces\":[{\"type\":\"network\"},{\"type\":\"pid\"}]}}");
	free(out);
	out = oci_fork_config("{}", "fork", &err);
	assert_string_equal(out, "{}");
	free(out);
	assert_null(oci_fork_config("{", "fork", &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fork_config_what_there_is_one_of_is_left_out),
	};

	return cmocka_run_group_tests_name("oci/fork_config", tests, NULL, NULL);
}
