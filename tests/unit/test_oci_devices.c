/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device rules: the program is run by a small interpreter here and compared with the rules read plainly, for every
 * access to a set of devices; and given to the kernel's verifier where this process may.
 */
#include "oci/devices.h"

#include "common/auto.h"
#include "common/err.h"

#include <errno.h>
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#define RWM (OCI_DEVICE_READ | OCI_DEVICE_WRITE | OCI_DEVICE_MKNOD)
#define ALLOW(t, a, b, acc)                                                     \
	{                                                                       \
		.allow = true, .type = t, .major = a, .minor = b, .access = acc \
	}
#define DENY(t, a, b, acc)                                                       \
	{                                                                        \
		.allow = false, .type = t, .major = a, .minor = b, .access = acc \
	}

/* Just the instructions such a program needs; anything else fails the test, as does leaving the program. */
static int run_program(const struct bpf_insn *code, size_t count, const struct bpf_cgroup_dev_ctx *ctx)
{
	uint64_t r[11] = { 0 };

	for (size_t pc = 0, steps = 0; pc < count && steps <= count; pc++, steps++) {
		const struct bpf_insn *i = &code[pc];
		uint32_t word;

		switch (i->code) {
		case BPF_LDX | BPF_MEM | BPF_W:
			assert_int_equal(i->src_reg, BPF_REG_1);
			assert_in_range(i->off, 0, sizeof *ctx - sizeof word);
			memcpy(&word, (const char *)ctx + i->off, sizeof word);
			r[i->dst_reg] = word;
			break;
		case BPF_ALU64 | BPF_MOV | BPF_X:
			r[i->dst_reg] = r[i->src_reg];
			break;
		case BPF_ALU64 | BPF_MOV | BPF_K:
			r[i->dst_reg] = (uint64_t)(int64_t)i->imm;
			break;
		case BPF_ALU64 | BPF_RSH | BPF_K:
			r[i->dst_reg] >>= i->imm;
			break;
		case BPF_ALU64 | BPF_AND | BPF_K:
			r[i->dst_reg] &= (uint64_t)(int64_t)i->imm;
			break;
		case BPF_JMP | BPF_JNE | BPF_K:
			assert_true(i->off >= 0);
			if (r[i->dst_reg] != (uint64_t)(int64_t)i->imm)
				pc += (size_t)i->off;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			assert_true(i->off >= 0);
			if (r[i->dst_reg] == (uint64_t)(int64_t)i->imm)
				pc += (size_t)i->off;
			break;
		case BPF_JMP | BPF_EXIT:
			return (int)r[0];
		default:
			fail_msg("instruction 0x%02x", i->code);
		}
	}
	fail_msg("ran off the program");
	return -1;
}

/* The rules as their documentation reads: each access by itself, the last rule that speaks of it. */
static bool rules_allow(const struct oci_device_rules *rules, char type, uint32_t major, uint32_t minor,
			unsigned access)
{
	static const struct oci_device_rule defaults[] = {
		ALLOW('c', -1, -1, OCI_DEVICE_MKNOD),
		ALLOW('b', -1, -1, OCI_DEVICE_MKNOD),
		ALLOW('c', 1, 3, RWM),
		ALLOW('c', 1, 5, RWM),
		ALLOW('c', 1, 7, RWM),
		ALLOW('c', 1, 8, RWM),
		ALLOW('c', 1, 9, RWM),
		ALLOW('c', 5, 0, RWM),
		ALLOW('c', 5, 2, RWM),
		ALLOW('c', 136, -1, RWM),
		ALLOW('c', 10, 200, RWM),
	};
	const size_t default_count = sizeof defaults / sizeof *defaults;

	for (unsigned bit = 1; bit <= OCI_DEVICE_MKNOD; bit <<= 1) {
		bool allowed = false;

		for (size_t i = 0; i < rules->count + default_count; i++) {
			const struct oci_device_rule *rule =
				i < rules->count ? &rules->items[i] : &defaults[i - rules->count];

			if ((rule->type == 'a' || rule->type == type) && (rule->major < 0 || rule->major == major) &&
			    (rule->minor < 0 || rule->minor == minor) && (rule->access & bit))
				allowed = rule->allow;
		}
		if ((access & bit) && !allowed)
			return false;
	}
	return true;
}

static void compare(const struct oci_device_rules *rules)
{
	static const uint32_t numbers[] = { 0, 1, 3, 5, 7, 8, 10, 136, 200, 229, 4095 };
	auto_free struct bpf_insn *code = NULL;
	struct err err = ERR_INIT;
	size_t count;

	assert_int_equal(oci_device_filter(rules, &code, &count, &err), 0);
	for (unsigned access = 1; access <= RWM; access++) {
		for (size_t a = 0; a < sizeof numbers / sizeof *numbers; a++) {
			for (size_t b = 0; b < 2 * sizeof numbers / sizeof *numbers; b++) {
				char type = b & 1 ? 'c' : 'b';
				uint32_t minor = numbers[b / 2];
				unsigned kernel = (access & OCI_DEVICE_READ ? BPF_DEVCG_ACC_READ : 0) |
						  (access & OCI_DEVICE_WRITE ? BPF_DEVCG_ACC_WRITE : 0) |
						  (access & OCI_DEVICE_MKNOD ? BPF_DEVCG_ACC_MKNOD : 0);
				const struct bpf_cgroup_dev_ctx ctx = {
					.access_type =
						kernel << 16 | (type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR),
					.major = numbers[a],
					.minor = minor,
				};
				int answer = code ? run_program(code, count, &ctx) : 1;

				if (answer != (int)rules_allow(rules, type, numbers[a], minor, access))
					fail_msg("%c %u:%u access %u gives %d", type, numbers[a], minor, access,
						 answer);
			}
		}
	}
}

static void device_filter_agrees_with_rules(void **state)
{
	struct oci_device_rule none[1] = { 0 };
	struct oci_device_rule deny_all[] = { DENY('a', -1, -1, RWM) };
	struct oci_device_rule allow_all[] = { DENY('a', -1, -1, RWM), ALLOW('a', -1, -1, RWM) };
	struct oci_device_rule docker[] = {
		DENY('a', -1, -1, RWM), ALLOW('c', 1, 5, RWM),   ALLOW('c', 1, 3, RWM),
		ALLOW('c', 1, 9, RWM),  ALLOW('c', 1, 8, RWM),   ALLOW('c', 5, 0, RWM),
		ALLOW('c', 5, 1, RWM),  DENY('c', 10, 229, RWM), ALLOW('b', 8, -1, OCI_DEVICE_READ),
	};
	struct oci_device_rule holes[] = {
		ALLOW('a', -1, -1, RWM),
		DENY('c', 10, -1, OCI_DEVICE_WRITE),
		ALLOW('c', 10, 229, OCI_DEVICE_WRITE),
		DENY('b', -1, 3, OCI_DEVICE_READ | OCI_DEVICE_WRITE),
		DENY('c', 1, 3, RWM),              /* the defaults give it back */
		DENY('b', 8, 0, OCI_DEVICE_MKNOD), /* and every mknod */
	};
	struct oci_device_rule split[] = { ALLOW('c', 7, 7, OCI_DEVICE_READ), ALLOW('c', 7, 7, OCI_DEVICE_WRITE),
					   DENY('c', 7, -1, OCI_DEVICE_WRITE) };
	const struct oci_device_rules lists[] = {
		{ none, 0 }, { deny_all, 1 }, { allow_all, 2 }, { docker, 9 }, { holes, 6 }, { split, 2 }, { split, 3 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		compare(&lists[i]);
}

static void device_filter_agrees_with_random_rules(void **state)
{
	static const int64_t numbers[] = { -1, 1, 3, 5, 8, 10, 136, 229 };
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 200; round++) {
		struct oci_device_rule items[6];

		for (int i = 0; i < 6; i++) {
			items[i] = (struct oci_device_rule){
				.allow = rand_r(&seed) & 1,
				.type = "cba"[(rand_r(&seed) >> 4) % 5 % 3],
				.major = numbers[(rand_r(&seed) >> 4) % 8],
				.minor = numbers[(rand_r(&seed) >> 4) % 8],
				.access = 1 + (unsigned)(rand_r(&seed) >> 4) % 7,
			};
			/* As the reader of config.json leaves them. */
			if (items[i].type == 'a')
				items[i] = (struct oci_device_rule){ items[i].allow, 'a', -1, -1, RWM };
		}
		compare(&(struct oci_device_rules){ items, 6 });
	}
}

static void device_filter_everything_allowed_needs_no_program(void **state)
{
	struct oci_device_rule items[] = { DENY('a', -1, -1, RWM), ALLOW('a', -1, -1, RWM), ALLOW('c', 1, 3, RWM) };
	struct oci_device_rules rules = { items, 3 };
	struct bpf_insn *code = (struct bpf_insn *)1;
	size_t count = 1;
	struct err err = ERR_INIT;

	(void)state;
	assert_true(oci_device_rules_allow_all(&rules));
	assert_int_equal(oci_device_filter(&rules, &code, &count, &err), 0);
	assert_null(code);
	assert_int_equal(count, 0);
	rules.count = 1;
	assert_false(oci_device_rules_allow_all(&rules));
}

static void device_filter_too_many_rules_is_refused(void **state)
{
	struct oci_device_rules rules = { calloc(2000, sizeof *rules.items), 2000 };
	struct bpf_insn *code;
	size_t count;
	struct err err = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < rules.count; i++)
		rules.items[i] = (struct oci_device_rule)ALLOW('c', 200, (int64_t)i, OCI_DEVICE_READ);
	assert_int_equal(oci_device_filter(&rules, &code, &count, &err), -1);
	assert_string_equal(err.text,
			    "linux.resources.devices: more rules than fit a device filter of 4096 instructions");
	/* Those before a rule for everything don't count. */
	rules.items[1900] = (struct oci_device_rule)DENY('a', -1, -1, RWM);
	assert_int_equal(oci_device_filter(&rules, &code, &count, &err), 0);
	free(code);
	oci_device_rules_destroy(&rules);
}

static void device_filter_passes_the_kernels_verifier(void **state)
{
	struct oci_device_rule items[] = {
		ALLOW('c', 9, 9, RWM),
		DENY('a', -1, -1, RWM),
		ALLOW('c', 7, -1, OCI_DEVICE_READ),
		DENY('b', -1, 3, OCI_DEVICE_WRITE),
		ALLOW('b', 8, 0, RWM),
	};
	const struct oci_device_rules lists[] = { { items, 5 }, { items, 1 }, { items + 2, 3 }, { items, 0 } };
	static char log[65536];

	(void)state;
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		auto_free struct bpf_insn *code = NULL;
		size_t count;
		struct err err = ERR_INIT;
		union bpf_attr attr;

		assert_int_equal(oci_device_filter(&lists[i], &code, &count, &err), 0);
		memset(&attr, 0, sizeof attr);
		attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
		attr.insns = (uintptr_t)code;
		attr.insn_cnt = (uint32_t)count;
		attr.license = (uintptr_t) "Apache-2.0";
		attr.log_buf = (uintptr_t)log;
		attr.log_size = sizeof log;
		attr.log_level = 1;
		auto_fd int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
		/* Without the right, or in a kernel without this, the interpreter above has to do. */
		if (fd < 0 && (errno == EPERM || errno == ENOSYS || (errno == EINVAL && !log[0])))
			skip();
		if (fd < 0)
			fail_msg("%s: %s", strerror(errno), log);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(device_filter_agrees_with_rules),
		cmocka_unit_test(device_filter_agrees_with_random_rules),
		cmocka_unit_test(device_filter_everything_allowed_needs_no_program),
		cmocka_unit_test(device_filter_too_many_rules_is_refused),
		cmocka_unit_test(device_filter_passes_the_kernels_verifier),
	};

	return cmocka_run_group_tests_name("oci/devices", tests, NULL, NULL);
}
