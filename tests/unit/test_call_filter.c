/* SPDX-License-Identifier: Apache-2.0 */
/* What a filter answers to each call, by running it as the kernel would. */
#include "common/call_filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { OTHERWISE = SECCOMP_RET_ERRNO | 38, LAST_CALL = 600 };

static uint32_t run(const struct sock_filter *code, unsigned length, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (unsigned i = 0; i < length; i++) {
		const struct sock_filter *at = &code[i];

		switch (at->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(at->k + sizeof a <= sizeof *data);
			memcpy(&a, (const char *)data + at->k, sizeof a);
			break;
		case BPF_JMP | BPF_JA:
			i += at->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			i += a == at->k ? at->jt : at->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			i += a >= at->k ? at->jt : at->jf;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			i += a & at->k ? at->jt : at->jf;
			break;
		case BPF_RET | BPF_K:
			return at->k;
		default:
			fail_msg("instruction %u has code %#x", i, at->code);
		}
	}
	fail_msg("the filter ends without an answer");
	return 0;
}

/* By the tables themselves. */
static uint32_t expected(const struct call_rules *const tables[], size_t count, const struct seccomp_data *data)
{
	for (size_t t = 0; t < count; t++)
		for (size_t i = 0; i < tables[t]->count; i++) {
			const struct call_rule *rule = &tables[t]->rules[i];
			uint32_t argument = (uint32_t)data->args[rule->argument];

			if (rule->number != data->nr)
				continue;
			switch ((enum call_action)rule->action) {
			case CALL_ALLOW:
				return SECCOMP_RET_ALLOW;
			case CALL_ONE_OF:
				for (unsigned v = 0; v < CALL_VALUES_MAX && rule->values[v]; v++)
					if (rule->values[v] == argument)
						return SECCOMP_RET_ALLOW;
				return SECCOMP_RET_KILL_PROCESS;
			case CALL_NONE_OF:
				return argument & rule->values[0] ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ALLOW;
			case CALL_ERRNO:
				return SECCOMP_RET_ERRNO | rule->values[0];
			case CALL_KILL:
				return SECCOMP_RET_KILL_PROCESS;
			}
		}
	return OTHERWISE;
}

static void check_all(const struct call_rules *const tables[], size_t count)
{
	static const uint64_t arguments[] = { 0, 1, 2, 3, 5, 7, 8, 0xffffffff, 0x100000003 };
	struct sock_filter code[CALL_FILTER_MAX];
	unsigned length = call_filter(tables, count, OTHERWISE, code);
	struct seccomp_data data = { .arch = AUDIT_ARCH_X86_64 };

	assert_true(length <= CALL_FILTER_MAX);
	for (data.nr = 0; data.nr <= LAST_CALL; data.nr++)
		for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++) {
			for (unsigned k = 0; k < 6; k++)
				data.args[k] = arguments[i] + k;
			assert_int_equal(run(code, length, &data), expected(tables, count, &data));
		}

	const struct seccomp_data compatible = { .arch = AUDIT_ARCH_I386, .nr = 1 };
	const struct seccomp_data x32 = { .arch = AUDIT_ARCH_X86_64, .nr = 0x40000001 };

	assert_int_equal(run(code, length, &compatible), SECCOMP_RET_KILL_PROCESS);
	assert_int_equal(run(code, length, &x32), SECCOMP_RET_KILL_PROCESS);
}

static void test_call_filter_answers_as_its_tables_say(void **state)
{
	static const struct call_rule first[] = {
		{ .number = 231 },
		{ .number = 16, .action = CALL_ONE_OF, .argument = 1, .values = { 3, 4, 8 } },
		{ .number = 9, .action = CALL_NONE_OF, .argument = 2, .values = { 4 } },
		{ .number = 0 },
		{ .number = 435, .action = CALL_ERRNO, .values = { 22 } },
	};
	/* The second one's row of 16 never counts. */
	static const struct call_rule second[] = {
		{ .number = 16 },
		{ .number = 59, .action = CALL_KILL },
		{ .number = 302, .action = CALL_ONE_OF, .argument = 0, .values = { 5 } },
	};
	const struct call_rules tables[] = { CALL_RULES(first), CALL_RULES(second) }, none = { first, 0 };
	const struct call_rules *const both[] = { &tables[0], &tables[1] }, *const empty[] = { &none };

	(void)state;
	check_all(both, 2);
	check_all(both, 1);
	check_all(empty, 1);
}

static void test_call_filter_of_as_many_rows_as_there_may_be(void **state)
{
	static struct call_rule many[CALL_RULES_MAX];
	const struct call_rules table = CALL_RULES(many);
	const struct call_rules *const tables[] = { &table };

	(void)state;
	for (unsigned i = 0; i < CALL_RULES_MAX; i++) {
		many[i].number = (uint16_t)(i * 89 % 577); /* in no order */
		many[i].action = i % 5 ? CALL_ALLOW : CALL_ERRNO;
		many[i].values[0] = 13;
	}
	check_all(tables, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_call_filter_answers_as_its_tables_say),
		cmocka_unit_test(test_call_filter_of_as_many_rows_as_there_may_be),
	};

	return cmocka_run_group_tests_name("call_filter", tests, NULL, NULL);
}
