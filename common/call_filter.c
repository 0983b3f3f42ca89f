/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A binary search for the call's number. The kernel runs the whole filter once for each call that there is when it is
 * set (to know which are always allowed), so one comparison after the other would cost a start ten times as much.
 */
#include "common/call_filter.h"

#include <assert.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <string.h>

#define X32_BIT 0x40000000u

struct program {
	struct sock_filter *code;
	unsigned length;
};

static void put(struct program *program, uint16_t code, uint8_t if_true, uint8_t if_false, uint32_t k)
{
	assert(program->length < CALL_FILTER_MAX);
	program->code[program->length++] = (struct sock_filter){ code, if_true, if_false, k };
}

static void load(struct program *program, size_t offset)
{
	put(program, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

static void give(struct program *program, uint32_t answer)
{
	put(program, BPF_RET | BPF_K, 0, 0, answer);
}

/* x86 is little-endian: an argument's lower half comes first. */
static void load_argument(struct program *program, unsigned index)
{
	load(program, offsetof(struct seccomp_data, args) + index * sizeof(uint64_t));
}

static void add_one_of(struct program *program, const struct call_rule *rule)
{
	unsigned count = 0;

	while (count < CALL_VALUES_MAX && rule->values[count])
		count++;
	load_argument(program, rule->argument);
	for (unsigned i = 0; i < count; i++)
		put(program, BPF_JMP | BPF_JEQ | BPF_K, (uint8_t)(count - i), 0, rule->values[i]);
	give(program, SECCOMP_RET_KILL_PROCESS);
	give(program, SECCOMP_RET_ALLOW);
}

static void add(struct program *program, const struct call_rule *rule)
{
	unsigned jump = program->length;

	put(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, rule->number);
	switch ((enum call_action)rule->action) {
	case CALL_ALLOW:
		give(program, SECCOMP_RET_ALLOW);
		break;
	case CALL_ONE_OF:
		add_one_of(program, rule);
		break;
	case CALL_NONE_OF:
		load_argument(program, rule->argument);
		put(program, BPF_JMP | BPF_JSET | BPF_K, 0, 1, rule->values[0]);
		give(program, SECCOMP_RET_KILL_PROCESS);
		give(program, SECCOMP_RET_ALLOW);
		break;
	case CALL_ERRNO:
		give(program, SECCOMP_RET_ERRNO | (rule->values[0] & SECCOMP_RET_DATA));
		break;
	case CALL_KILL:
		give(program, SECCOMP_RET_KILL_PROCESS);
		break;
	}
	program->code[jump].jf = (uint8_t)(program->length - jump - 1);
}

/* The rows of all tables in the order of their calls. */
struct rows {
	const struct call_rule *items[CALL_RULES_MAX];
	size_t count;
};

static void insert(struct rows *rows, const struct call_rule *rule)
{
	size_t at = rows->count;

	while (at && rows->items[at - 1]->number > rule->number)
		at--;
	if (at && rows->items[at - 1]->number == rule->number)
		return; /* the first one counts */
	assert(rows->count < CALL_RULES_MAX);
	memmove(&rows->items[at + 1], &rows->items[at], (rows->count - at) * sizeof rows->items[0]);
	rows->items[at] = rule;
	rows->count++;
}

/* So few are compared one after the other. */
enum { ROWS_IN_A_LEAF = 3 };

static void add_rows(struct program *program, const struct call_rule *const rows[], size_t count, uint32_t otherwise)
{
	size_t half = count / 2;
	unsigned jump;

	if (count <= ROWS_IN_A_LEAF) {
		for (size_t i = 0; i < count; i++)
			add(program, rows[i]);
		give(program, otherwise);
		return;
	}
	/* A conditional jump is too short for half a table. */
	put(program, BPF_JMP | BPF_JGE | BPF_K, 0, 1, rows[half]->number);
	jump = program->length;
	put(program, BPF_JMP | BPF_JA, 0, 0, 0);
	add_rows(program, rows, half, otherwise);
	program->code[jump].k = program->length - jump - 1;
	add_rows(program, rows + half, count - half, otherwise);
}

unsigned call_filter(const struct call_rules *const tables[], size_t count, uint32_t otherwise,
		     struct sock_filter out[CALL_FILTER_MAX])
{
	struct program program = { .code = out };
	struct rows rows = { .count = 0 };

	/* Another architecture's numbers mean other calls, and x32's, with a bit of their own, the same as ours. */
	load(&program, offsetof(struct seccomp_data, arch));
	put(&program, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AUDIT_ARCH_X86_64);
	give(&program, SECCOMP_RET_KILL_PROCESS);
	load(&program, offsetof(struct seccomp_data, nr));
	put(&program, BPF_JMP | BPF_JGE | BPF_K, 0, 1, X32_BIT);
	give(&program, SECCOMP_RET_KILL_PROCESS);
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < tables[i]->count; j++)
			insert(&rows, &tables[i]->rules[j]);
	add_rows(&program, rows.items, rows.count, otherwise);
	return program.length;
}
