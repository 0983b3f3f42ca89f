/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/seccomp.h"

#include "oci/alloc.h"
#include "oci/json.h"
#include "oci/names.h"

#include "common/auto.h"
#include "common/log.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

/* The tables are sorted by name, since `features` lists them so. */
static const struct oci_name actions[] = {
	{ "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW },
	{ "SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0) },
	{ "SCMP_ACT_KILL", SCMP_ACT_KILL },
	{ "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS },
	{ "SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_LOG", SCMP_ACT_LOG },
	{ "SCMP_ACT_TRACE", SCMP_ACT_TRACE(0) },
	{ "SCMP_ACT_TRAP", SCMP_ACT_TRAP },
	{ NULL, 0 },
};
static const struct oci_name operators[] = {
	{ "SCMP_CMP_EQ", SCMP_CMP_EQ }, { "SCMP_CMP_GE", SCMP_CMP_GE },
	{ "SCMP_CMP_GT", SCMP_CMP_GT }, { "SCMP_CMP_LE", SCMP_CMP_LE },
	{ "SCMP_CMP_LT", SCMP_CMP_LT }, { "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
	{ "SCMP_CMP_NE", SCMP_CMP_NE }, { NULL, 0 },
};

/* 0: known, but not an architecture of the guest. */
static const struct oci_name arches[] = {
	{ "SCMP_ARCH_AARCH64", 0 },
	{ "SCMP_ARCH_ARM", 0 },
	{ "SCMP_ARCH_LOONGARCH64", 0 },
	{ "SCMP_ARCH_M68K", 0 },
	{ "SCMP_ARCH_MIPS", 0 },
	{ "SCMP_ARCH_MIPS64", 0 },
	{ "SCMP_ARCH_MIPS64N32", 0 },
	{ "SCMP_ARCH_MIPSEL", 0 },
	{ "SCMP_ARCH_MIPSEL64", 0 },
	{ "SCMP_ARCH_MIPSEL64N32", 0 },
	{ "SCMP_ARCH_PARISC", 0 },
	{ "SCMP_ARCH_PARISC64", 0 },
	{ "SCMP_ARCH_PPC", 0 },
	{ "SCMP_ARCH_PPC64", 0 },
	{ "SCMP_ARCH_PPC64LE", 0 },
	{ "SCMP_ARCH_RISCV64", 0 },
	{ "SCMP_ARCH_S390", 0 },
	{ "SCMP_ARCH_S390X", 0 },
	{ "SCMP_ARCH_SH", 0 },
	{ "SCMP_ARCH_SHEB", 0 },
	{ "SCMP_ARCH_X32", SCMP_ARCH_X32 },
	{ "SCMP_ARCH_X86", SCMP_ARCH_X86 },
	{ "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64 },
	{ NULL, 0 },
};

/*
 * Two flags change nothing here: the filter is loaded by a process with one thread (TSYNC), and nobody listens to
 * notifications (WAIT_KILLABLE_RECV, which the kernel refuses without a listener).
 */
static const struct oci_name flags[] = {
	{ "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
	{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
	{ "SECCOMP_FILTER_FLAG_TSYNC", 0 },
	{ "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 0 },
	{ NULL, 0 },
};

enum { ERRNO_MAX = 4095, ARGS = 6 };

/* An action and the number that goes with it; the members are called differently for the default and for a rule. */
static int parse_action(const struct oci_json *at, const char *key, const char *errno_key, uint32_t *out,
			struct err *err)
{
	auto_free char *name = NULL;
	uint64_t action, number = EPERM;

	struct oci_json member = oci_json_member(at, key);
	if (oci_json_need_string(at, key, &name, err) < 0)
		return -1;
	if (strcmp(name, "SCMP_ACT_NOTIFY") == 0)
		return oci_json_refuse(&member, err,
				       "SCMP_ACT_NOTIFY is not supported: the listener is on the host, the system "
				       "call in a virtual machine");
	if (oci_name_parse(at, key, actions, &action, err) < 0)
		return -1;
	int given = oci_json_uint(at, errno_key, ERRNO_MAX, &number, err);
	if (given < 0)
		return -1;
	if (action == SCMP_ACT_ERRNO(0)) {
		action = SCMP_ACT_ERRNO(number);
	} else if (action == SCMP_ACT_TRACE(0)) {
		action = SCMP_ACT_TRACE(number);
	} else if (given > 0) {
		struct oci_json number_member = oci_json_member(at, errno_key);
		return oci_json_refuse(&number_member, err, "has no meaning for %s", name);
	}
	*out = (uint32_t)action;
	return 0;
}

static int parse_arg(const struct oci_json *at, struct oci_seccomp_arg *out, struct err *err)
{
	uint64_t index, op = 0;

	if (oci_json_need_uint(at, "index", ARGS - 1, &index, err) < 0 ||
	    oci_json_need_uint(at, "value", UINT64_MAX, &out->value, err) < 0 ||
	    oci_json_uint(at, "valueTwo", UINT64_MAX, &out->value_two, err) < 0)
		return -1;
	int named = oci_name_parse(at, "op", operators, &op, err);
	if (named <= 0)
		return named < 0 ? -1 : oci_json_refuse(at, err, "has no op");
	out->index = (unsigned)index;
	out->op = (unsigned)op;
	return 0;
}

static int parse_rule(const struct oci_json *at, struct oci_seccomp_rule *out, struct err *err)
{
	struct oci_json array, item;

	if (oci_json_strings(at, "names", &out->names, err) < 0)
		return -1;
	if (out->names.count == 0)
		return oci_json_refuse(at, err, "names no system call");
	if (parse_action(at, "action", "errnoRet", &out->action, err) < 0)
		return -1;
	int found = oci_json_array(at, "args", &array, err);
	for (size_t i = 0; found > 0 && i < oci_json_length(&array); i++) {
		out->args = oci_grow(out->args, out->arg_count, sizeof *out->args);
		if (oci_json_element(&array, i, &item, err) < 0 ||
		    parse_arg(&item, &out->args[out->arg_count++], err) < 0)
			return -1;
	}
	return found < 0 ? -1 : 0;
}

static int parse_arches(const struct oci_json *at, struct oci_seccomp *out, struct err *err)
{
	struct oci_strings names = { 0 };
	int found = oci_json_strings(at, "architectures", &names, err);

	for (size_t i = 0; found >= 0 && i < names.count; i++) {
		uint64_t arch = 0;
		bool listed = false;

		if (!oci_name_find(arches, names.items[i], &arch)) {
			struct oci_json member = oci_json_member(at, "architectures");
			found = oci_json_refuse(&member, err, "\"%s\" is no architecture of libseccomp",
						names.items[i]);
			break;
		}
		for (size_t k = 0; k < out->arch_count; k++)
			listed |= out->arches[k] == arch;
		if (arch && !listed)
			out->arches[out->arch_count++] = (uint32_t)arch;
	}
	oci_strings_destroy(&names);
	return found;
}

int oci_seccomp_parse(const struct oci_json *at, struct oci_seccomp *out, struct err *err)
{
	static const char *const known[] = {
		"defaultAction", "defaultErrnoRet", "architectures",    "flags",
		"syscalls",      "listenerPath",    "listenerMetadata", NULL,
	};
	struct oci_json array, item;
	uint64_t bits = 0;

	if (parse_action(at, "defaultAction", "defaultErrnoRet", &out->default_action, err) < 0 ||
	    parse_arches(at, out, err) < 0 || oci_name_parse_flags(at, "flags", flags, &bits, err) < 0)
		return -1;
	out->flags = (uint32_t)bits;
	int found = oci_json_array(at, "syscalls", &array, err);
	for (size_t i = 0; found > 0 && i < oci_json_length(&array); i++) {
		out->rules = oci_grow(out->rules, out->rule_count, sizeof *out->rules);
		if (oci_json_element(&array, i, &item, err) < 0 ||
		    parse_rule(&item, &out->rules[out->rule_count++], err) < 0)
			return -1;
	}
	oci_json_note_unknown(at, known);
	return found < 0 ? -1 : 0;
}

void oci_seccomp_fini(struct oci_seccomp *seccomp)
{
	for (size_t i = 0; i < seccomp->rule_count; i++) {
		oci_strings_destroy(&seccomp->rules[i].names);
		free(seccomp->rules[i].args);
	}
	free(seccomp->rules);
	*seccomp = (struct oci_seccomp){ 0 };
}

const struct oci_name *oci_seccomp_actions(void)
{
	return actions;
}

const struct oci_name *oci_seccomp_operators(void)
{
	return operators;
}

const struct oci_name *oci_seccomp_arches(void)
{
	return arches;
}

const struct oci_name *oci_seccomp_flags(void)
{
	return flags;
}
