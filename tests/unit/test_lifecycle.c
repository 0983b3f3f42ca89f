/* SPDX-License-Identifier: Apache-2.0 */
/* Every cell of the table: allowed, or refused in words that name the container. */
#include "runtime/lifecycle.h"

#include "common/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

/* Rows in the order of enum oci_status, letters in the order of enum lifecycle_event: y is allowed. */
static const char *const expected[OCI_STATUS_COUNT] = {
	/* start exec kill pause resume update ps events delete checkpoint */
	[OCI_STATUS_CREATING] = "..y.......", [OCI_STATUS_CREATED] = "yyyy.yyyy.", [OCI_STATUS_RUNNING] = ".yyy.yyy.y",
	[OCI_STATUS_PAUSED] = "..y.yyy..y",   [OCI_STATUS_STOPPED] = "......y.y.",
};

static void test_lifecycle_every_cell(void **state)
{
	(void)state;
	for (int status = 0; status < OCI_STATUS_COUNT; status++) {
		assert_int_equal(strlen(expected[status]), LIFECYCLE_EVENT_COUNT);
		for (int event = 0; event < LIFECYCLE_EVENT_COUNT; event++) {
			struct err err = ERR_INIT;
			int result = lifecycle_check("box", (enum oci_status)status, (enum lifecycle_event)event, &err);

			assert_int_equal(result, expected[status][event] == 'y' ? 0 : -1);
			if (result == 0)
				continue;
			assert_non_null(strstr(err.text, "box"));
			assert_int_not_equal(err.code, 0);
		}
	}
}

/* Engines look for these words. */
static void test_lifecycle_refusals_are_runcs(void **state)
{
	static const struct {
		enum oci_status status;
		enum lifecycle_event event;
		const char *text;
	} cases[] = {
		{ OCI_STATUS_RUNNING, LIFECYCLE_START, "cannot start an already running container" },
		{ OCI_STATUS_STOPPED, LIFECYCLE_START, "cannot start a container that has stopped" },
		{ OCI_STATUS_RUNNING, LIFECYCLE_DELETE, "cannot delete container box that is not stopped: running" },
		{ OCI_STATUS_PAUSED, LIFECYCLE_EXEC, "cannot exec in a paused container" },
		{ OCI_STATUS_STOPPED, LIFECYCLE_KILL, "container not running" },
		{ OCI_STATUS_RUNNING, LIFECYCLE_RESUME, "container not paused" },
		{ OCI_STATUS_STOPPED, LIFECYCLE_PAUSE, "container not running or created" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct err err = ERR_INIT;

		assert_int_equal(lifecycle_check("box", cases[i].status, cases[i].event, &err), -1);
		assert_non_null(strstr(err.text, cases[i].text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lifecycle_every_cell),
		cmocka_unit_test(test_lifecycle_refusals_are_runcs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
