/* SPDX-License-Identifier: Apache-2.0 */
/* One comparison after the other, and at the end what is left to say. */
#include "common/call_filter.h"

#include <assert.h>
#include <linux/audit.h>
#include <linux/seccomp.h>

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

static void add_all(struct program *program, const struct call_rules *rules)
{
	for (size_t i = 0; i < rules->count; i++)
		add(program, &rules->rules[i]);
}

unsigned call_filter(const struct call_rules *const tables[], size_t count, uint32_t otherwise,
		     struct sock_filter out[CALL_FILTER_MAX])
{
	struct program program = { .code = out };

	/* Another architecture's numbers mean other calls, and x32's, with a bit of their own, the same as ours. */
	load(&program, offsetof(struct seccomp_data, arch));
	put(&program, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AUDIT_ARCH_X86_64);
	give(&program, SECCOMP_RET_KILL_PROCESS);
	load(&program, offsetof(struct seccomp_data, nr));
	put(&program, BPF_JMP | BPF_JGE | BPF_K, 0, 1, X32_BIT);
	give(&program, SECCOMP_RET_KILL_PROCESS);
	for (size_t i = 0; i < count; i++)
		add_all(&program, tables[i]);
	give(&program, otherwise);
	return program.length;
}
