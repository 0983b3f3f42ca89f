/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp.h - linux.seccomp, checked, and compiled with libseccomp to the BPF the guest loads just before exec.
 *
 * The guest is x86-64: rules for x86_64, x86 and x32 are compiled, other architectures of a profile have no effect
 * here. System calls the host's libseccomp does not know are left out, as everyone does. SCMP_ACT_NOTIFY is refused:
 * its listener would be a descriptor in another machine.
 */
#ifndef BULKHEAD_OCI_SECCOMP_H
#define BULKHEAD_OCI_SECCOMP_H

#include "oci/strings.h"

#include <stddef.h>
#include <stdint.h>

struct err;
struct oci_json;
struct oci_name;
struct sock_filter;

struct oci_seccomp_arg {
	unsigned index;
	unsigned op; /* enum scmp_compare */
	uint64_t value, value_two;
};

struct oci_seccomp_rule {
	struct oci_strings names;
	uint32_t action; /* SCMP_ACT_* with its data */
	struct oci_seccomp_arg *args;
	size_t arg_count;
};

struct oci_seccomp {
	uint32_t default_action; /* SCMP_ACT_* with its data */
	uint32_t arches[3];      /* SCMP_ARCH_*, of those the guest has */
	size_t arch_count;
	uint32_t flags; /* SECCOMP_FILTER_FLAG_* that matter to the guest */
	struct oci_seccomp_rule *rules;
	size_t rule_count;
};

struct oci_seccomp_program {
	struct sock_filter *filter; /* malloc'ed */
	size_t count;
	uint32_t flags; /* SECCOMP_FILTER_FLAG_* */
};

/* `at` is the seccomp object. Destroy `out` also after a failure. */
int oci_seccomp_parse(const struct oci_json *at, struct oci_seccomp *out, struct err *err);
void oci_seccomp_fini(struct oci_seccomp *seccomp);

int oci_seccomp_compile(const struct oci_seccomp *seccomp, struct oci_seccomp_program *out, struct err *err);

/* The tables of names in config.json (oci/names.h), sorted, for `features`. */
const struct oci_name *oci_seccomp_actions(void);
const struct oci_name *oci_seccomp_operators(void);
const struct oci_name *oci_seccomp_arches(void);
const struct oci_name *oci_seccomp_flags(void);

#endif
