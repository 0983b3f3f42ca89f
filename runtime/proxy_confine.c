/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/proxy_confine.h"

#include "common/err.h"

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Calls that end the proxy. What it does need depends on the host's C library, the network and the streams it was
 * given; this list is of what no proxy ever needs, so that it cannot kill one on a path that no test took.
 */
#define DENY(name) SYS_##name
/* clang-format off */
static const uint16_t denied[] = {
	/* Another program. A copy of itself under the same filter it may make: see runtime/oom_report.h. */
	DENY(execve), DENY(execveat), DENY(vfork), DENY(clone3),
	/* Into other processes. */
	DENY(ptrace), DENY(process_vm_readv), DENY(process_vm_writev), DENY(pidfd_getfd), DENY(kcmp), DENY(process_madvise),
	/* Out of the root it has, or into another; files by number instead of by name. */
	DENY(mount), DENY(umount2), DENY(pivot_root), DENY(chroot), DENY(open_tree), DENY(move_mount), DENY(fsopen),
	DENY(fsconfig), DENY(fsmount), DENY(fspick), DENY(mount_setattr), DENY(unshare), DENY(setns),
	DENY(open_by_handle_at), DENY(name_to_handle_at), DENY(mknod), DENY(mknodat), DENY(quotactl), DENY(swapon),
	DENY(swapoff),
	/* Other users; what a capability would give. */
	DENY(setuid), DENY(setgid), DENY(setreuid), DENY(setregid), DENY(setresuid), DENY(setresgid), DENY(setfsuid),
	DENY(setfsgid), DENY(setgroups), DENY(capset), DENY(personality),
	/* The kernel itself, and its interfaces with the longest lists of holes. */
	DENY(init_module), DENY(finit_module), DENY(delete_module), DENY(kexec_load), DENY(kexec_file_load), DENY(reboot),
	DENY(bpf), DENY(perf_event_open), DENY(userfaultfd), DENY(io_uring_setup), DENY(io_uring_enter),
	DENY(io_uring_register), DENY(keyctl), DENY(add_key), DENY(request_key), DENY(iopl), DENY(ioperm),
	DENY(modify_ldt), DENY(syslog), DENY(acct), DENY(fanotify_init), DENY(memfd_secret),
	/* The host's clock and name. */
	DENY(settimeofday), DENY(clock_settime), DENY(clock_adjtime), DENY(adjtimex), DENY(sethostname),
	DENY(setdomainname),
};
/* clang-format on */

#define NAMESPACES \
	(CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

enum {
	DENIED_COUNT = sizeof denied / sizeof *denied,
	FILTER_MAX = 32 + DENIED_COUNT,
	PROTECTION_ARGUMENT = offsetof(struct seccomp_data, args) + 2 * sizeof(uint64_t), /* of mmap and mprotect */
};

/*
 * Taps, their addresses and the rules on them; a pod's ports; signals to the monitor; streams that an engine opened as
 * another user.
 */
static const uint64_t kept_rights =
	1ull << CAP_NET_ADMIN | 1ull << CAP_NET_BIND_SERVICE | 1ull << CAP_KILL | 1ull << CAP_DAC_OVERRIDE;

static unsigned make_filter(struct sock_filter *out)
{
	const struct sock_filter begin[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		/* Calls of x32 have other numbers for the same. */
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	const struct sock_filter end[] = {
		/* A process, but not in namespaces of its own. */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NAMESPACES, 7, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		/* Memory to execute was mapped when the program began. */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pkey_mprotect, 0, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, PROTECTION_ARGUMENT),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	unsigned length = 0;

	for (unsigned i = 0; i < sizeof begin / sizeof *begin; i++)
		out[length++] = begin[i];
	for (unsigned i = 0; i < DENIED_COUNT; i++) {
		/* To the KILL at the end, over the rest of the list and what stands before it. */
		const uint8_t distance = (uint8_t)(DENIED_COUNT - 1 - i + sizeof end / sizeof *end - 1);

		out[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, denied[i], distance, 0);
	}
	for (unsigned i = 0; i < sizeof end / sizeof *end; i++)
		out[length++] = end[i];
	return length;
}

_Static_assert(DENIED_COUNT < 240, "a jump in a filter reaches 255 instructions");

static int drop_rights(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data) < 0)
		return -1;
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		uint32_t kept = (uint32_t)(kept_rights >> 32 * i);

		data[i].permitted &= kept;
		data[i].effective &= kept;
		data[i].inheritable = 0;
	}
	return (int)syscall(SYS_capset, &header, data);
}

int proxy_confine(struct err *err)
{
	struct sock_filter filter[FILTER_MAX];
	const struct sock_fprog program = { .len = (unsigned short)make_filter(filter), .filter = filter };

	if (drop_rights() < 0)
		return err_set_errno(err, "cannot give up the proxy's rights");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
		return err_set_errno(err, "cannot filter the proxy's system calls");
	return 0;
}
