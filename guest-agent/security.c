/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/security.h"

#include "guest-agent/errtext.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CAPABILITIES_MAX = 64, KEYCTL_JOIN_SESSION = 1 };

static int get_sets(struct security_sets *sets)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &header, data) < 0)
		return -1;
	sets->effective = data[0].effective | (uint64_t)data[1].effective << 32;
	sets->permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	sets->inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
	return 0;
}

static int set_sets(const struct security_sets *sets)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ (uint32_t)sets->effective, (uint32_t)sets->permitted, (uint32_t)sets->inheritable },
		{ (uint32_t)(sets->effective >> 32), (uint32_t)(sets->permitted >> 32),
		  (uint32_t)(sets->inheritable >> 32) },
	};

	return (int)syscall(SYS_capset, &header, data);
}

int security_bound_capabilities(const agent_Process *process, struct err *err)
{
	uint64_t keep = process->has_capabilities ? process->bounding : 0;

	for (unsigned long cap = 0; cap < CAPABILITIES_MAX; cap++) {
		int there = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (there < 0) /* the kernel knows no more */
			break;
		if (there == 1 && !(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return errtext_set(err, "dropping capability %lu from the bounding set", cap);
	}
	return 0;
}

int security_become_user(const agent_Process *process, struct err *err)
{
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return errtext_set(err, "setup user: keeping capabilities");
	/*
	 * System calls, not the C library's functions: those talk to the other threads, and in a child made by clone3
	 * the library's idea of threads is the agent's. Where the user namespace forbids setgroups, having none is what
	 * was asked for.
	 */
	if (syscall(SYS_setgroups, (long)process->additional_gids_count, process->additional_gids) < 0 &&
	    !(errno == EPERM && process->additional_gids_count == 0))
		return errtext_set(err, "setup user: additional groups");
	if (syscall(SYS_setresgid, process->gid, process->gid, process->gid) < 0)
		return errtext_set(err, "setup user: gid %u", process->gid);
	if (syscall(SYS_setresuid, process->uid, process->uid, process->uid) < 0)
		return errtext_set(err, "setup user: uid %u", process->uid);
	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
		return errtext_set(err, "setup user: keeping capabilities");
	return 0;
}

int security_limit_effective(const agent_Process *process, struct err *err)
{
	struct security_sets sets;

	if (get_sets(&sets) < 0)
		return errtext_set(err, "reading capabilities");
	sets.effective = process->has_capabilities ? process->effective & process->permitted & sets.permitted : 0;
	if (set_sets(&sets) < 0)
		return errtext_set(err, "setting effective capabilities");
	return 0;
}

int security_prepare_capabilities(const agent_Process *process, struct security_sets *final, struct err *err)
{
	struct security_sets now;
	uint64_t ambient = 0;

	if (get_sets(&now) < 0)
		return errtext_set(err, "reading capabilities");
	*final = (struct security_sets){ 0 };
	if (process->has_capabilities) {
		/* What this kernel does not know, or this process may not have, is ignored, as runc does. */
		final->permitted = process->permitted & now.permitted;
		final->effective = process->effective & final->permitted;
		final->inheritable = process->inheritable & now.permitted;
		ambient = process->ambient & final->permitted & final->inheritable;
	}
	/* Changing the user emptied the effective set. All of it is back until security_drop_capabilities. */
	now.effective = now.permitted;
	now.inheritable = final->inheritable;
	if (set_sets(&now) < 0)
		return errtext_set(err, "setting inheritable capabilities");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return errtext_set(err, "clearing ambient capabilities");
	for (unsigned long cap = 0; cap < CAPABILITIES_MAX; cap++) {
		if (ambient >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return errtext_set(err, "raising ambient capability %lu", cap);
	}
	return 0;
}

int security_drop_capabilities(const struct security_sets *final, struct err *err)
{
	if (set_sets(final) < 0)
		return errtext_set(err, "setting capabilities");
	return 0;
}

int security_load_seccomp(const agent_Process *process, struct err *err)
{
	const pb_bytes_array_t *filter = process->seccomp;

	if (!filter || filter->size == 0)
		return 0;
	struct sock_fprog program = {
		.len = (unsigned short)(filter->size / sizeof(struct sock_filter)),
		.filter = (struct sock_filter *)(void *)filter->bytes,
	};
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, process->seccomp_flags, &program) < 0)
		return errtext_set(err, "loading the seccomp filter (%u instructions)", program.len);
	return 0;
}

int security_set_no_new_privileges(struct err *err)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return errtext_set(err, "setting no_new_privs");
	return 0;
}

int security_join_keyring(const char *container, struct err *err)
{
	char name[256];

	snprintf(name, sizeof name, "_ses.%s", container);
	/* A kernel without keyrings has nothing to separate. */
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION, name, 0, 0, 0) < 0 && errno != ENOSYS)
		return errtext_set(err, "joining session keyring %s", name);
	return 0;
}
