/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a checked profile to BPF. libseccomp generates the program; before it go a few instructions of ours.
 *
 * A profile lists the system calls its author knew. One that is newer than all of these is not forbidden by
 * intention, and a C library which meets EPERM gives up where ENOSYS would make it take the older call. So where the
 * default is to forbid, numbers above the highest one a profile names get ENOSYS, as runc has it.
 */
#include "oci/seccomp.h"

#include "oci/alloc.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* libseccomp's level for SCMP_ACT_LOG and SCMP_ACT_KILL_PROCESS, see seccomp_api_get(3). */
enum { API_LEVEL = 3 };

/* BPF_MAXINSNS in the kernel: seccomp(2) takes no more. */
enum { INSTRUCTIONS_MAX = 4096, PROLOGUE_MAX = 18, CONDITIONS_MAX = 6 };
#define X32_BIT 0x40000000u

static bool has_duplicate_index(const struct oci_seccomp_rule *rule)
{
	for (size_t i = 0; i < rule->arg_count; i++)
		for (size_t k = 0; k < i; k++)
			if (rule->args[i].index == rule->args[k].index)
				return true;
	return false;
}

static int add_rule(scmp_filter_ctx filter, const struct oci_seccomp_rule *rule, const char *name, struct err *err)
{
	struct scmp_arg_cmp conditions[CONDITIONS_MAX];
	int number = seccomp_syscall_resolve_name(name);
	int result = 0;

	if (number == __NR_SCMP_ERROR) {
		log_debug("linux.seccomp: system call \"%s\" is not known here, ignored", name);
		return 0;
	}
	if (has_duplicate_index(rule)) {
		/* libseccomp takes one condition per argument: several are alternatives, as for runc and crun. */
		for (size_t i = 0; i < rule->arg_count && result == 0; i++) {
			const struct oci_seccomp_arg *a = &rule->args[i];
			struct scmp_arg_cmp one = { a->index, (enum scmp_compare)a->op, a->value, a->value_two };
			result = seccomp_rule_add_array(filter, rule->action, number, 1, &one);
		}
	} else {
		for (size_t i = 0; i < rule->arg_count; i++) {
			const struct oci_seccomp_arg *a = &rule->args[i];
			conditions[i] =
				(struct scmp_arg_cmp){ a->index, (enum scmp_compare)a->op, a->value, a->value_two };
		}
		result = seccomp_rule_add_array(filter, rule->action, number, (unsigned)rule->arg_count, conditions);
	}
	/* The same rule twice is no contradiction. */
	if (result < 0 && result != -EEXIST)
		return err_set(err, -result, "linux.seccomp: rule for \"%s\": %s", name, strerror(-result));
	return 0;
}

static int add_rules(scmp_filter_ctx filter, const struct oci_seccomp *seccomp, struct err *err)
{
	for (size_t i = 0; i < seccomp->arch_count; i++) {
		int result = seccomp_arch_add(filter, seccomp->arches[i]);

		if (result < 0 && result != -EEXIST)
			return err_set(err, -result, "linux.seccomp: architecture 0x%x: %s", seccomp->arches[i],
				       strerror(-result));
	}
	for (size_t i = 0; i < seccomp->rule_count; i++) {
		const struct oci_seccomp_rule *rule = &seccomp->rules[i];

		/* libseccomp refuses rules that say what the default says. */
		if (rule->action == seccomp->default_action)
			continue;
		for (size_t k = 0; k < rule->names.count; k++)
			if (add_rule(filter, rule, rule->names.items[k], err) < 0)
				return -1;
	}
	return 0;
}

/* The program as libseccomp writes it to a file. */
static int export(scmp_filter_ctx filter, struct sock_filter **out, size_t *count, struct err *err)
{
	auto_fd int fd = memfd_create("seccomp", MFD_CLOEXEC);
	auto_free struct sock_filter *code = NULL;

	if (fd < 0)
		return err_set_errno(err, "linux.seccomp: memfd_create");
	int result = seccomp_export_bpf(filter, fd);
	off_t size = result < 0 ? 0 : lseek(fd, 0, SEEK_END);
	if (result < 0 || size <= 0 || (size_t)size % sizeof *code != 0)
		return err_set(err, result < 0 ? -result : EIO, "linux.seccomp: libseccomp could not make the filter");
	if ((size_t)size / sizeof *code > INSTRUCTIONS_MAX - PROLOGUE_MAX)
		return err_set(err, E2BIG, "linux.seccomp: the filter has %zu instructions, the kernel takes %d",
			       (size_t)size / sizeof *code + PROLOGUE_MAX, INSTRUCTIONS_MAX);
	code = oci_alloc((size_t)size, 1);
	if (pread(fd, code, (size_t)size, 0) != size)
		return err_set_errno(err, "linux.seccomp: reading the filter");
	*count = (size_t)size / sizeof *code;
	*out = take_ptr(&code);
	return 0;
}

/* Actions a program can live with: a call it doesn't know works, or is seen by a tracer. */
static bool lets_pass(uint32_t action)
{
	return action == SCMP_ACT_ALLOW || action == SCMP_ACT_LOG ||
	       (action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_TRACE;
}

/* The highest number the profile names on `arch`, -1 if none. */
static int highest_number(const struct oci_seccomp *seccomp, uint32_t arch)
{
	int highest = -1;

	for (size_t i = 0; i < seccomp->rule_count; i++) {
		for (size_t k = 0; k < seccomp->rules[i].names.count; k++) {
			int number = seccomp_syscall_resolve_name_arch(arch, seccomp->rules[i].names.items[k]);

			if (number > highest)
				highest = number;
		}
	}
	return highest;
}

/* If the call is one of `audit_arch`, above `highest` and below `end`: ENOSYS. Else goes on with what follows. */
static size_t emit_enosys(struct sock_filter *code, uint32_t audit_arch, uint32_t highest, uint32_t end)
{
	const struct sock_filter block[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, audit_arch, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, highest, 0, 2),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, end, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	};

	memcpy(code, block, sizeof block);
	return sizeof block / sizeof *block;
}

static size_t emit_prologue(struct sock_filter *code, const struct oci_seccomp *seccomp)
{
	/* The native architecture is always part of the filter. -1 is what a tracer sets to skip a call: not ours. */
	const struct {
		uint32_t arch, audit_arch, end;
	} all[] = {
		{ SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, X32_BIT },
		{ SCMP_ARCH_X32, AUDIT_ARCH_X86_64, UINT32_MAX },
		{ SCMP_ARCH_X86, AUDIT_ARCH_I386, UINT32_MAX },
	};
	size_t used = 0;

	if (lets_pass(seccomp->default_action) || seccomp->default_action == SCMP_ACT_ERRNO(ENOSYS))
		return 0;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		bool wanted = all[i].arch == SCMP_ARCH_X86_64;

		for (size_t k = 0; k < seccomp->arch_count; k++)
			wanted |= seccomp->arches[k] == all[i].arch;
		int highest = wanted ? highest_number(seccomp, all[i].arch) : -1;
		if (highest >= 0)
			used += emit_enosys(code + used, all[i].audit_arch, (uint32_t)highest, all[i].end);
	}
	return used;
}

int oci_seccomp_compile(const struct oci_seccomp *seccomp, struct oci_seccomp_program *out, struct err *err)
{
	auto_free struct sock_filter *code = NULL;
	size_t count = 0;

	/* Left alone, libseccomp asks this kernel which actions it has; what counts is the guest's, which has them. */
	seccomp_api_set(API_LEVEL);
	scmp_filter_ctx filter = seccomp_init(seccomp->default_action);
	if (!filter)
		return err_set(err, EINVAL, "linux.seccomp: libseccomp refuses the default action");
	int result = add_rules(filter, seccomp, err);
	if (result == 0)
		result = export(filter, &code, &count, err);
	seccomp_release(filter);
	if (result < 0)
		return -1;

	struct sock_filter *whole = oci_alloc(count + PROLOGUE_MAX, sizeof *whole);
	size_t prologue = emit_prologue(whole, seccomp);
	memcpy(whole + prologue, code, count * sizeof *whole);
	*out = (struct oci_seccomp_program){ whole, prologue + count, seccomp->flags };
	return 0;
}
