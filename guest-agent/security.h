/* SPDX-License-Identifier: Apache-2.0 */
/*
 * security.h - what a process may still do, taken away step by step, in the child that becomes the process.
 *
 * The order matters, and is this (program.c):
 *   1. security_bound_capabilities     while root
 *   2. security_become_user            keeps the permitted set, for the steps below
 *   3. (chdir; security_limit_effective, program look-up, hooks: as that user)
 *   4. security_prepare_capabilities   inheritable and ambient sets
 *   5. security_load_seccomp           needs CAP_SYS_ADMIN, or no_new_privs
 *   6. security_drop_capabilities      one system call, then exec: a filter has to allow no more than these two
 * With no_new_privs 6 comes before 5, and the filter has to allow the exec alone.
 */
#ifndef BULKHEAD_AGENT_SECURITY_H
#define BULKHEAD_AGENT_SECURITY_H

#include "guest-agent/message.h"

#include <stdint.h>

struct err;

struct security_sets {
	uint64_t effective, permitted, inheritable;
};

int security_bound_capabilities(const agent_Process *process, struct err *err);
int security_become_user(const agent_Process *process, struct err *err);

/* From here on the kernel decides on files as it will for the process. Prepare_capabilities takes it back. */
int security_limit_effective(const agent_Process *process, struct err *err);
int security_prepare_capabilities(const agent_Process *process, struct security_sets *final, struct err *err);
int security_load_seccomp(const agent_Process *process, struct err *err);
int security_drop_capabilities(const struct security_sets *final, struct err *err);

int security_set_no_new_privileges(struct err *err);

/* Joins the container's session keyring, made if it is not there: keys of one container are not another's. */
int security_join_keyring(const char *container, struct err *err);

#endif
