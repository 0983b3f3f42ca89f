/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device rules as a program for BPF_PROG_TYPE_CGROUP_DEVICE.
 *
 * The kernel asks about one device and a set of accesses. The program goes through the rules from the last to the
 * first, so that the last one decides, and keeps in r3 the accesses nobody has decided yet: a rule that allows takes
 * its own out of them, and when none is left the answer is yes; a rule that denies one of them makes it no. What no
 * rule speaks of is denied.
 *
 *     r2 type   r3 accesses undecided   r4 major   r5 minor
 */
#include "oci/devices.h"

#include "oci/alloc.h"

#include "common/auto.h"
#include "common/bulkhead_uapi.h"
#include "common/err.h"

#include <assert.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stddef.h>

/* BPF_MAXINSNS: what every kernel with this program type loads. */
enum { INSTRUCTIONS_MAX = 4096, RULE_INSTRUCTIONS_MAX = 8 };
enum { ACCESS_ALL = OCI_DEVICE_READ | OCI_DEVICE_WRITE | OCI_DEVICE_MKNOD };

struct program {
	struct bpf_insn *code;
	size_t count;
};

static void emit(struct program *p, uint8_t code, uint8_t to, uint8_t from, int16_t offset, int32_t value)
{
	p->code = oci_grow(p->code, p->count, sizeof *p->code);
	p->code[p->count++] = (struct bpf_insn){
		.code = code, .dst_reg = to & 15, .src_reg = from & 15, .off = offset, .imm = value
	};
}

static void emit_answer(struct program *p, int answer)
{
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, answer);
	emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void emit_load(struct program *p, uint8_t to, size_t offset)
{
	emit(p, BPF_LDX | BPF_MEM | BPF_W, to, BPF_REG_1, (int16_t)offset, 0);
}

static void emit_prologue(struct program *p)
{
	emit_load(p, BPF_REG_2, offsetof(struct bpf_cgroup_dev_ctx, access_type));
	emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0);
	emit(p, BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16);
	emit(p, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff);
	emit_load(p, BPF_REG_4, offsetof(struct bpf_cgroup_dev_ctx, major));
	emit_load(p, BPF_REG_5, offsetof(struct bpf_cgroup_dev_ctx, minor));
}

static int32_t kernel_access(unsigned access)
{
	return (access & OCI_DEVICE_READ ? BPF_DEVCG_ACC_READ : 0) |
	       (access & OCI_DEVICE_WRITE ? BPF_DEVCG_ACC_WRITE : 0) |
	       (access & OCI_DEVICE_MKNOD ? BPF_DEVCG_ACC_MKNOD : 0);
}

static void emit_rule(struct program *p, const struct oci_device_rule *rule)
{
	size_t tests[3], count = 0;
	int32_t access = kernel_access(rule->access);
	const uint8_t jump_unequal = BPF_JMP | BPF_JNE | BPF_K;

	if (rule->type != 'a') {
		tests[count++] = p->count;
		emit(p, jump_unequal, BPF_REG_2, 0, 0, rule->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
	}
	if (rule->major >= 0) {
		tests[count++] = p->count;
		emit(p, jump_unequal, BPF_REG_4, 0, 0, (int32_t)rule->major);
	}
	if (rule->minor >= 0) {
		tests[count++] = p->count;
		emit(p, jump_unequal, BPF_REG_5, 0, 0, (int32_t)rule->minor);
	}
	if (rule->access == ACCESS_ALL) {
		emit_answer(p, rule->allow);
	} else if (rule->allow) {
		emit(p, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_3, 0, 0, ~access);
		emit(p, jump_unequal, BPF_REG_3, 0, 2, 0);
		emit_answer(p, 1);
	} else {
		emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_0, BPF_REG_3, 0, 0);
		emit(p, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_0, 0, 0, access);
		emit(p, BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 2, 0);
		emit_answer(p, 0);
	}
	/* A device the rule doesn't speak of goes on behind it. */
	for (size_t i = 0; i < count; i++)
		p->code[tests[i]].off = (int16_t)(p->count - tests[i] - 1);
}

#define DEFAULT(t, a, b, acc)                                                   \
	{                                                                       \
		.allow = true, .type = t, .major = a, .minor = b, .access = acc \
	}

/* They come after the container's rules, as with runc: no rule can take the default devices away. */
static const struct oci_device_rule defaults[] = {
	DEFAULT('c', -1, -1, OCI_DEVICE_MKNOD),
	DEFAULT('b', -1, -1, OCI_DEVICE_MKNOD),
	DEFAULT('c', 1, 3, ACCESS_ALL),    /* null */
	DEFAULT('c', 1, 5, ACCESS_ALL),    /* zero */
	DEFAULT('c', 1, 7, ACCESS_ALL),    /* full */
	DEFAULT('c', 1, 8, ACCESS_ALL),    /* random */
	DEFAULT('c', 1, 9, ACCESS_ALL),    /* urandom */
	DEFAULT('c', 5, 0, ACCESS_ALL),    /* tty */
	DEFAULT('c', 5, 2, ACCESS_ALL),    /* ptmx */
	DEFAULT('c', 136, -1, ACCESS_ALL), /* pts */
	DEFAULT('c', 10, 200, ACCESS_ALL), /* net/tun */
	DEFAULT('c', BULKHEAD_GENERATION_MAJOR, BULKHEAD_GENERATION_MINOR, OCI_DEVICE_READ),
};

int oci_device_filter(const struct oci_device_rules *rules, struct bpf_insn **out, size_t *count, struct err *err)
{
	struct program p = { 0 };
	bool decided = false;

	*out = NULL;
	*count = 0;
	if (oci_device_rules_allow_all(rules))
		return 0;
	emit_prologue(&p);
	for (size_t i = sizeof defaults / sizeof *defaults; i-- > 0;)
		emit_rule(&p, &defaults[i]);
	/* Behind a rule for everything nothing is reached, which the kernel's verifier would refuse. */
	for (size_t i = rules->count; i-- > 0 && !decided;) {
		if (p.count + RULE_INSTRUCTIONS_MAX + 2 > INSTRUCTIONS_MAX) {
			free(p.code);
			return err_set(
				err, E2BIG,
				"linux.resources.devices: more rules than fit a device filter of %d instructions",
				INSTRUCTIONS_MAX);
		}
		emit_rule(&p, &rules->items[i]);
		decided = rules->items[i].type == 'a';
	}
	if (!decided)
		emit_answer(&p, 0);
	assert(p.count <= INSTRUCTIONS_MAX);
	*out = p.code;
	*count = p.count;
	return 0;
}
