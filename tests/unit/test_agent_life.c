/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/life.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

/* What the drawing in life.h says, written a second time and in another form: S is refused, a letter is a state. */
static const char letters[LIFE_STATE_COUNT + 1] = "CcSRPZAXD";
static const char *const expected[LIFE_STATE_COUNT] = {
	/*                  BUILT START STARTED EXIT EXEC KILL FREEZE THAW DELETE */
	[LIFE_CREATING] = "c--X-C--D---", [LIFE_CREATED] = "-S-Xcc--D---", [LIFE_STARTING] = "--RXSS--D---",
	[LIFE_RUNNING] = "---XRRP-DZ--",  [LIFE_PAUSED] = "---X-P-RD---",  [LIFE_SUSPENDED] = "---X-Z--D-RA",
	[LIFE_ADOPTED] = "-S-X-A--D---",  [LIFE_STOPPED] = "--------D---", [LIFE_DELETING] = "---D----D---",
};

static void test_life_every_cell_is_as_drawn(void **unused)
{
	(void)unused;
	for (unsigned state = 0; state < LIFE_STATE_COUNT; state++) {
		for (unsigned event = 0; event < LIFE_EVENT_COUNT; event++) {
			enum life_state next = (enum life_state)state;
			const char *refusal = NULL;
			bool allowed = life_next((enum life_state)state, (enum life_event)event, &next, &refusal);

			if (expected[state][event] == '-') {
				assert_false(allowed);
				assert_non_null(refusal);
				assert_true(strlen(refusal) > 10);
				assert_int_equal(next, state);
			} else {
				assert_true(allowed);
				assert_int_equal(letters[next], expected[state][event]);
			}
		}
	}
}

static void test_life_refusals_are_runcs_words(void **unused)
{
	static const struct {
		enum life_state state;
		enum life_event event;
		const char *words;
	} rows[] = {
		{ LIFE_RUNNING, LIFE_START, "cannot start an already running container" },
		{ LIFE_STOPPED, LIFE_START, "cannot start a container that has stopped" },
		{ LIFE_PAUSED, LIFE_EXEC, "cannot exec in a paused container" },
		{ LIFE_STOPPED, LIFE_EXEC, "cannot exec in a stopped container" },
		{ LIFE_STOPPED, LIFE_KILL, "container not running" },
		{ LIFE_CREATED, LIFE_FREEZE, "container not running" },
		{ LIFE_RUNNING, LIFE_THAW, "container not paused" },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		enum life_state next;
		const char *refusal = NULL;

		assert_false(life_next(rows[i].state, rows[i].event, &next, &refusal));
		assert_string_equal(refusal, rows[i].words);
	}
}

static void test_life_every_state_has_a_name(void **unused)
{
	(void)unused;
	for (unsigned state = 0; state < LIFE_STATE_COUNT; state++)
		assert_non_null(life_state_name((enum life_state)state));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life_every_cell_is_as_drawn),
		cmocka_unit_test(test_life_refusals_are_runcs_words),
		cmocka_unit_test(test_life_every_state_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
