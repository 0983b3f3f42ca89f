/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/jail.h"

#include "common/auto.h"
#include "common/err.h"
#include "vmm/jail_rules.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(capability) (1ull << (capability))

/*
 * What the file threads act with for the container's users, who may have any uid. The container's own rights are
 * checked in the guest. What is missing against a container's default set is nothing that files know.
 */
#define FILE_RIGHTS                                                                                              \
	(BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_FOWNER) | BIT(CAP_FSETID) | \
	 BIT(CAP_SETGID) | BIT(CAP_SETUID) | BIT(CAP_MKNOD) | BIT(CAP_SETFCAP))

/* In the new mount namespace; any directory that every host has will do to mount on. */
#define MOUNT_POINT "/proc"

static int empty_root(struct err *err)
{
	/* Whatever is unmounted below stays mounted for everybody else. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return err_set_errno(err, "cannot make the jail's mounts private");
	if (mount("bulkhead", MOUNT_POINT, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY,
		  "size=4k,nr_inodes=2,mode=0"))
		return err_set_errno(err, "cannot mount the jail's root on " MOUNT_POINT);
	if (chdir(MOUNT_POINT) || syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
		return err_set_errno(err, "cannot make the jail's root the root");
	return 0;
}

static int open_proc(struct err *err)
{
	auto_fd int context = fsopen("proc", FSOPEN_CLOEXEC);

	/* Since Linux 5.8; from an older one's proc a way up would lead to /proc/sys. */
	if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "subset", "pid", 0) ||
	    fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return err_set_errno(err, "cannot make the jail's proc (Linux 5.8 or later is needed)");

	auto_fd int mounted =
		fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	int fd = mounted < 0 ? -1 : openat(mounted, "self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? err_set_errno(err, "cannot open self/fd in the jail's proc") : fd;
}

int jail_enter(struct err *err)
{
	const struct rlimit none = { 0, 0 };

	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP))
		return err_set_errno(err, "cannot make the jail's namespaces (CAP_SYS_ADMIN is needed)");

	auto_fd int proc = open_proc(err);

	if (proc < 0 || empty_root(err))
		return -1;
	if (setrlimit(RLIMIT_CORE, &none) || prctl(PR_SET_DUMPABLE, 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return err_set_errno(err, "cannot close the jail");
	/* Hosts without core scheduling, or with it off, have other ways against siblings, or take the risk. */
	(void)prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, PR_SCHED_CORE_SCOPE_THREAD_GROUP, 0);
	return take_fd(&proc);
}

static int keep(uint64_t rights, struct err *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data))
		return err_set_errno(err, "cannot read capabilities");
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].permitted &= (uint32_t)(rights >> 32 * i);
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, data))
		return err_set_errno(err, "cannot give up capabilities");
	return 0;
}

int jail_keep_file_rights(struct err *err)
{
	int bits = prctl(PR_GET_SECUREBITS);

	/* A file thread that takes another uid keeps its capabilities so; without, it sets them again each time. */
	if (bits >= 0)
		(void)prctl(PR_SET_SECUREBITS, (unsigned long)bits | SECBIT_NO_SETUID_FIXUP);
	return keep(FILE_RIGHTS, err);
}

int jail_give_up_rights(struct err *err)
{
	return keep(0, err);
}

int jail_close_thread(enum jail_thread kind, struct err *err)
{
	struct sock_filter code[CALL_FILTER_MAX];
	struct sock_fprog program = { .len = (unsigned short)jail_filter(kind, code), .filter = code };

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return err_set_errno(err, "cannot set the seccomp filter");
	return 0;
}
