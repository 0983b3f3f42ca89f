/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seccomp profiles: compiled, then asked about system calls through a small interpreter of classic BPF, and given to
 * the kernel in a child process.
 */
#include "tests/unit/oci_patch.h"

#include "oci/seccomp.h"

#include "common/auto.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#define X32_BIT 0x40000000

static struct oci_seccomp_program compile(const char *profile)
{
	struct oci_seccomp_program program = { 0 };
	struct oci_config *config = NULL;
	struct err err = ERR_INIT;
	char patch[4096];

	snprintf(patch, sizeof patch, "{'linux': {'seccomp': %s}}", profile);
	if (patch_load("/b", patch, &config, &err) < 0 || oci_seccomp_compile(&config->seccomp, &program, &err) < 0)
		fail_msg("%s: %s", profile, err.text);
	oci_config_destroy(config);
	return program;
}

/* What the kernel would answer. Only what libseccomp and our prologue emit; the rest fails the test. */
static uint32_t ask(const struct oci_seccomp_program *program, uint32_t arch, int nr, uint64_t arg0, uint64_t arg1)
{
	const struct seccomp_data data = { .nr = nr, .arch = arch, .args = { arg0, arg1 } };
	uint32_t a = 0, word;

	for (size_t pc = 0; pc < program->count; pc++) {
		const struct sock_filter *i = &program->filter[pc];
		bool taken;

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_in_range(i->k, 0, sizeof data - sizeof word);
			memcpy(&word, (const char *)&data + i->k, sizeof word);
			a = word;
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			continue;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
			taken = a == i->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			taken = a > i->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			taken = a >= i->k;
			break;
		case BPF_RET | BPF_K:
			return i->k;
		default:
			fail_msg("instruction 0x%02x", i->code);
			return 0;
		}
		pc += taken ? i->jt : i->jf;
	}
	fail_msg("ran off the filter");
	return 0;
}

static uint32_t ask64(const struct oci_seccomp_program *program, int nr, uint64_t arg0)
{
	return ask(program, AUDIT_ARCH_X86_64, nr, arg0, 0);
}

static void seccomp_actions_each_compile(void **state)
{
	static const struct {
		const char *action;
		uint32_t answer;
	} cases[] = {
		{ "'action': 'SCMP_ACT_KILL'", SECCOMP_RET_KILL_THREAD },
		{ "'action': 'SCMP_ACT_KILL_THREAD'", SECCOMP_RET_KILL_THREAD },
		{ "'action': 'SCMP_ACT_KILL_PROCESS'", SECCOMP_RET_KILL_PROCESS },
		{ "'action': 'SCMP_ACT_TRAP'", SECCOMP_RET_TRAP },
		{ "'action': 'SCMP_ACT_ERRNO'", SECCOMP_RET_ERRNO | EPERM },
		{ "'action': 'SCMP_ACT_ERRNO', 'errnoRet': 38", SECCOMP_RET_ERRNO | ENOSYS },
		{ "'action': 'SCMP_ACT_ERRNO', 'errnoRet': 0", SECCOMP_RET_ERRNO },
		{ "'action': 'SCMP_ACT_TRACE', 'errnoRet': 7", SECCOMP_RET_TRACE | 7 },
		{ "'action': 'SCMP_ACT_LOG'", SECCOMP_RET_LOG },
		{ "'action': 'SCMP_ACT_ALLOW'", SECCOMP_RET_ALLOW }, /* the default's own action */
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char profile[512];

		snprintf(profile, sizeof profile,
			 "{'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': [{'names': ['mkdir'], %s}]}",
			 cases[i].action);
		struct oci_seccomp_program program = compile(profile);
		assert_int_equal(ask64(&program, SYS_mkdir, 0), cases[i].answer);
		assert_int_equal(ask64(&program, SYS_read, 0), SECCOMP_RET_ALLOW);
		free(program.filter);
	}
}

static void seccomp_default_action_and_errno(void **state)
{
	struct oci_seccomp_program program =
		compile("{'defaultAction': 'SCMP_ACT_ERRNO', 'defaultErrnoRet': 13,"
			" 'syscalls': [{'names': ['read', 'write'], 'action': 'SCMP_ACT_ALLOW'}]}");

	(void)state;
	assert_int_equal(ask64(&program, SYS_read, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask64(&program, SYS_write, 0), SECCOMP_RET_ALLOW);
	free(program.filter);
	program = compile("{'defaultAction': 'SCMP_ACT_ERRNO', 'defaultErrnoRet': 13,"
			  " 'syscalls': [{'names': ['openat2', 'read'], 'action': 'SCMP_ACT_ALLOW'}]}");
	assert_int_equal(ask64(&program, SYS_mkdir, 0), SECCOMP_RET_ERRNO | 13);
	free(program.filter);
}

static void seccomp_arguments_compare(void **state)
{
	static const struct {
		const char *args;
		uint64_t yes, no;
	} cases[] = {
		{ "[{'index': 0, 'value': 5, 'op': 'SCMP_CMP_EQ'}]", 5, 6 },
		{ "[{'index': 0, 'value': 5, 'op': 'SCMP_CMP_NE'}]", 6, 5 },
		{ "[{'index': 0, 'value': 5, 'op': 'SCMP_CMP_LT'}]", 4, 5 },
		{ "[{'index': 0, 'value': 5, 'op': 'SCMP_CMP_LE'}]", 5, 6 },
		{ "[{'index': 0, 'value': 5, 'op': 'SCMP_CMP_GT'}]", 6, 5 },
		{ "[{'index': 0, 'value': 5, 'op': 'SCMP_CMP_GE'}]", 5, 4 },
		{ "[{'index': 0, 'value': 240, 'valueTwo': 16, 'op': 'SCMP_CMP_MASKED_EQ'}]", 0x11f & ~0xe0ull, 0x20 },
		{ "[{'index': 0, 'value': 4294967297, 'op': 'SCMP_CMP_EQ'}]", 0x100000001, 1 },
		/* Two conditions on one argument are alternatives. */
		{ "[{'index': 0, 'value': 5, 'op': 'SCMP_CMP_EQ'}, {'index': 0, 'value': 7, 'op': 'SCMP_CMP_EQ'}]", 7,
		  6 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char profile[1024];

		snprintf(profile, sizeof profile,
			 "{'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': [{'names': ['personality'],"
			 " 'action': 'SCMP_ACT_ERRNO', 'args': %s}]}",
			 cases[i].args);
		struct oci_seccomp_program program = compile(profile);
		if (ask64(&program, SYS_personality, cases[i].yes) != (SECCOMP_RET_ERRNO | EPERM) ||
		    ask64(&program, SYS_personality, cases[i].no) != SECCOMP_RET_ALLOW)
			fail_msg("%s", cases[i].args);
		free(program.filter);
	}
}

static void seccomp_arguments_of_two_indexes_both_hold(void **state)
{
	struct oci_seccomp_program program = compile(
		"{'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': [{'names': ['dup2'], 'action': 'SCMP_ACT_ERRNO',"
		" 'args': [{'index': 0, 'value': 1, 'op': 'SCMP_CMP_EQ'},"
		" {'index': 1, 'value': 2, 'op': 'SCMP_CMP_EQ'}]}]}");

	(void)state;
	assert_int_equal(ask(&program, AUDIT_ARCH_X86_64, SYS_dup2, 1, 2), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(ask(&program, AUDIT_ARCH_X86_64, SYS_dup2, 1, 3), SECCOMP_RET_ALLOW);
	free(program.filter);
}

static void seccomp_architectures_have_their_numbers(void **state)
{
	struct oci_seccomp_program program =
		compile("{'defaultAction': 'SCMP_ACT_ALLOW', 'architectures': ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86',"
			" 'SCMP_ARCH_X32', 'SCMP_ARCH_AARCH64', 'SCMP_ARCH_X86'],"
			" 'syscalls': [{'names': ['mkdir'], 'action': 'SCMP_ACT_ERRNO'}]}");
	const int mkdir_i386 = 39;

	(void)state;
	assert_int_equal(ask64(&program, SYS_mkdir, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(ask(&program, AUDIT_ARCH_I386, mkdir_i386, 0, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(ask(&program, AUDIT_ARCH_I386, SYS_mkdir, 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask64(&program, X32_BIT | SYS_mkdir, 0), SECCOMP_RET_ERRNO | EPERM);
	free(program.filter);
	/* An architecture the profile does not list is not a way around it. */
	program = compile("{'defaultAction': 'SCMP_ACT_ALLOW', 'architectures': ['SCMP_ARCH_X86_64'],"
			  " 'syscalls': [{'names': ['mkdir'], 'action': 'SCMP_ACT_ERRNO'}]}");
	assert_int_equal(ask(&program, AUDIT_ARCH_I386, mkdir_i386, 0, 0), SECCOMP_RET_KILL_THREAD);
	assert_int_equal(ask64(&program, X32_BIT | SYS_mkdir, 0), SECCOMP_RET_KILL_THREAD);
	free(program.filter);
}

static void seccomp_call_newer_than_the_profile_gets_enosys(void **state)
{
	struct oci_seccomp_program program =
		compile("{'defaultAction': 'SCMP_ACT_ERRNO', 'architectures': ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86',"
			" 'SCMP_ARCH_X32'],"
			" 'syscalls': [{'names': ['read', 'statx'], 'action': 'SCMP_ACT_ALLOW'}]}");
	const int statx_i386 = 383;

	(void)state;
	assert_int_equal(ask64(&program, SYS_statx, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask64(&program, SYS_statx + 1, 0), SECCOMP_RET_ERRNO | ENOSYS);
	assert_int_equal(ask64(&program, 100000, 0), SECCOMP_RET_ERRNO | ENOSYS);
	assert_int_equal(ask64(&program, SYS_mkdir, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(ask64(&program, -1, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(ask(&program, AUDIT_ARCH_I386, statx_i386, 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(&program, AUDIT_ARCH_I386, statx_i386 + 1, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
	assert_int_equal(ask64(&program, X32_BIT | SYS_statx, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask64(&program, X32_BIT | 100000, 0), SECCOMP_RET_ERRNO | ENOSYS);
	free(program.filter);
	/* Where the default lets calls pass, or the profile says what to answer, nothing is added. */
	program = compile(
		"{'defaultAction': 'SCMP_ACT_LOG', 'syscalls': [{'names': ['read'], 'action': 'SCMP_ACT_ALLOW'}]}");
	assert_int_equal(ask64(&program, 1000, 0), SECCOMP_RET_LOG);
	free(program.filter);
	program = compile("{'defaultAction': 'SCMP_ACT_KILL_PROCESS', 'syscalls': [{'names': ['unknown_call'],"
			  " 'action': 'SCMP_ACT_ALLOW'}]}");
	assert_int_equal(ask64(&program, 1000, 0), SECCOMP_RET_KILL_PROCESS);
	free(program.filter);
}

static void seccomp_unknown_calls_and_repeated_rules_are_no_error(void **state)
{
	struct oci_seccomp_program program =
		compile("{'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': ["
			" {'names': ['from_the_future', 'mkdir'], 'action': 'SCMP_ACT_ERRNO'},"
			" {'names': ['mkdir', 'socketcall'], 'action': 'SCMP_ACT_ERRNO'}]}");

	(void)state;
	assert_int_equal(ask64(&program, SYS_mkdir, 0), SECCOMP_RET_ERRNO | EPERM);
	free(program.filter);
}

static void seccomp_flags_that_matter_are_kept(void **state)
{
	struct oci_seccomp_program program =
		compile("{'defaultAction': 'SCMP_ACT_ALLOW', 'flags': ['SECCOMP_FILTER_FLAG_LOG',"
			" 'SECCOMP_FILTER_FLAG_SPEC_ALLOW', 'SECCOMP_FILTER_FLAG_TSYNC',"
			" 'SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV'], 'listenerPath': '/unused'}");

	(void)state;
	assert_int_equal(program.flags, SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW);
	free(program.filter);
}

static void seccomp_too_many_rules_are_refused(void **state)
{
	struct oci_seccomp seccomp = { .default_action = 0x7fff0000u /* SCMP_ACT_ALLOW */, .rule_count = 1100 };
	struct oci_seccomp_program program;
	struct err err = ERR_INIT;

	(void)state;
	seccomp.rules = calloc(seccomp.rule_count, sizeof *seccomp.rules);
	for (size_t i = 0; i < seccomp.rule_count; i++) {
		struct oci_seccomp_rule *rule = &seccomp.rules[i];

		oci_strings_add(&rule->names, "ioctl");
		rule->action = 0x00050001u; /* SCMP_ACT_ERRNO(1) */
		rule->args = calloc(1, sizeof *rule->args);
		rule->arg_count = 1;
		rule->args[0] = (struct oci_seccomp_arg){ .index = 1, .op = 4 /* EQ */, .value = i << 32 | i };
	}
	assert_int_equal(oci_seccomp_compile(&seccomp, &program, &err), -1);
	assert_non_null(strstr(err.text, "linux.seccomp: the filter has "));
	assert_non_null(strstr(err.text, " instructions, the kernel takes 4096"));
	oci_seccomp_fini(&seccomp);
}

static void seccomp_filter_loads_into_the_kernel(void **state)
{
	struct oci_seccomp_program program = compile(
		"{'defaultAction': 'SCMP_ACT_KILL_PROCESS', 'architectures': ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'],"
		" 'syscalls': [{'names': ['exit_group'], 'action': 'SCMP_ACT_ALLOW'},"
		" {'names': ['getpid', 'statx'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 77}]}");
	int status;

	(void)state;
	pid_t pid = fork();
	if (pid == 0) {
		struct sock_fprog whole = { (unsigned short)program.count, program.filter };

		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &whole) < 0)
			_exit(10);
		if (syscall(SYS_getpid) != -1 || errno != 77)
			syscall(SYS_exit_group, 11);
		if (syscall(SYS_statx + 50) != -1 || errno != ENOSYS)
			syscall(SYS_exit_group, 12);
		syscall(SYS_exit_group, 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	free(program.filter);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seccomp_actions_each_compile),
		cmocka_unit_test(seccomp_default_action_and_errno),
		cmocka_unit_test(seccomp_arguments_compare),
		cmocka_unit_test(seccomp_arguments_of_two_indexes_both_hold),
		cmocka_unit_test(seccomp_architectures_have_their_numbers),
		cmocka_unit_test(seccomp_call_newer_than_the_profile_gets_enosys),
		cmocka_unit_test(seccomp_unknown_calls_and_repeated_rules_are_no_error),
		cmocka_unit_test(seccomp_flags_that_matter_are_kept),
		cmocka_unit_test(seccomp_too_many_rules_are_refused),
		cmocka_unit_test(seccomp_filter_loads_into_the_kernel),
	};

	return cmocka_run_group_tests_name("oci/seccomp", tests, NULL, NULL);
}
