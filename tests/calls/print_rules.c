/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of every filter, for tests/calls/compare-rules: a line "filter KIND SUM" for each, SUM of its instructions'
 * operands, by which it is known when it is set, then a line "rule CALL ACTION ARGUMENT VALUE..." for each of its rows.
 */
#include "runtime/proxy_rules.h"
#include "vmm/jail_rules.h"

#include <stdio.h>

static void print_rules(const struct call_rules *rules)
{
	static const char *const actions[] = { "allow", "one-of", "none-of", "errno", "kill" };

	for (size_t i = 0; i < rules->count; i++) {
		const struct call_rule *rule = &rules->rules[i];

		printf("rule %u %s %u", rule->number, actions[rule->action], rule->argument);
		for (unsigned v = 0; v < CALL_VALUES_MAX && rule->values[v]; v++)
			printf(" %#x", rule->values[v]);
		putchar('\n');
	}
}

/* FNV-1a over the operands. */
static unsigned sum_of(const struct sock_filter *filter, unsigned length)
{
	unsigned sum = 2166136261u;

	for (unsigned i = 0; i < length; i++)
		sum = (sum ^ filter[i].k) * 16777619u;
	return sum;
}

int main(void)
{
	static const char *const kinds[JAIL_THREADS] = {
		[JAIL_LOOP] = "loop", [JAIL_VCPU] = "vcpu", [JAIL_FILES] = "files", [JAIL_SAVE] = "save"
	};
	struct sock_filter filter[CALL_FILTER_MAX];

	puts("filter common 0");
	print_rules(&jail_common);
	for (enum jail_thread kind = 0; kind < JAIL_THREADS; kind++) {
		unsigned length = jail_filter(kind, filter);

		printf("filter %s %u\n", kinds[kind], sum_of(filter, length));
		print_rules(&jail_special[kind]);
	}
	/* It holds the process's own number: known by its length. */
	printf("filter proxy %u\n", proxy_filter(1, filter));
	print_rules(&proxy_allowed);
	return 0;
}
