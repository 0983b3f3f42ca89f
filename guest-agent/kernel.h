/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel.h - the system calls of Linux 5.2 to 5.14 that the C library has no functions for.
 *
 * Thin: -1 and errno, as the C library would do it. Structs and constants are here because kernel headers and C library
 * headers disagree about who defines them.
 */
#ifndef BULKHEAD_AGENT_KERNEL_H
#define BULKHEAD_AGENT_KERNEL_H

#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#define KERNEL_CLONE_INTO_CGROUP 0x200000000ull

/* openat2(2): how a path is resolved. */
#define KERNEL_RESOLVE_NO_XDEV 0x01u
#define KERNEL_RESOLVE_NO_MAGICLINKS 0x02u
#define KERNEL_RESOLVE_NO_SYMLINKS 0x04u
#define KERNEL_RESOLVE_BENEATH 0x08u
#define KERNEL_RESOLVE_IN_ROOT 0x10u

#define KERNEL_OPEN_TREE_CLONE 1u
#define KERNEL_OPEN_TREE_CLOEXEC ((unsigned)O_CLOEXEC)
#define KERNEL_AT_RECURSIVE 0x8000u
#define KERNEL_AT_EMPTY_PATH 0x1000u
#define KERNEL_MOVE_F_EMPTY_PATH 0x04u
#define KERNEL_MOVE_T_EMPTY_PATH 0x40u

#define KERNEL_MOUNT_ATTR_RDONLY 0x00000001ull
#define KERNEL_MOUNT_ATTR_NOSUID 0x00000002ull
#define KERNEL_MOUNT_ATTR_NODEV 0x00000004ull
#define KERNEL_MOUNT_ATTR_NOEXEC 0x00000008ull
#define KERNEL_MOUNT_ATTR_ATIME 0x00000070ull /* a field of three values, the first of them 0: */
#define KERNEL_MOUNT_ATTR_RELATIME 0x00000000ull
#define KERNEL_MOUNT_ATTR_NOATIME 0x00000010ull
#define KERNEL_MOUNT_ATTR_STRICTATIME 0x00000020ull
#define KERNEL_MOUNT_ATTR_NODIRATIME 0x00000080ull
#define KERNEL_MOUNT_ATTR_NOSYMFOLLOW 0x00200000ull

#define KERNEL_FSCONFIG_SET_FLAG 0u
#define KERNEL_FSCONFIG_SET_STRING 1u
#define KERNEL_FSCONFIG_CMD_CREATE 6u

struct kernel_clone_args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size,
		cgroup;
};

struct kernel_open_how {
	uint64_t flags, mode, resolve;
};

struct kernel_mount_attr {
	uint64_t attr_set, attr_clr, propagation, userns_fd;
};

struct kernel_sched_attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

/* Without a stack of its own the child goes on in a copy of ours, as after fork(2). */
static inline pid_t kernel_clone3(const struct kernel_clone_args *args)
{
	return (pid_t)syscall(SYS_clone3, args, sizeof *args);
}

static inline int kernel_openat2(int dir_fd, const char *path, const struct kernel_open_how *how)
{
	return (int)syscall(SYS_openat2, dir_fd, path, how, sizeof *how);
}

static inline int kernel_open_tree(int dir_fd, const char *path, unsigned flags)
{
	return (int)syscall(SYS_open_tree, dir_fd, path, flags);
}

static inline int kernel_move_mount(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	return (int)syscall(SYS_move_mount, from_fd, from, to_fd, to, flags);
}

static inline int kernel_mount_setattr(int dir_fd, const char *path, unsigned flags, struct kernel_mount_attr *attr)
{
	return (int)syscall(SYS_mount_setattr, dir_fd, path, flags, attr, sizeof *attr);
}

static inline int kernel_fsopen(const char *type)
{
	return (int)syscall(SYS_fsopen, type, 1u /* FSOPEN_CLOEXEC */);
}

static inline int kernel_fsconfig(int fs_fd, unsigned command, const char *key, const char *value)
{
	return (int)syscall(SYS_fsconfig, fs_fd, command, key, value, 0);
}

static inline int kernel_fsmount(int fs_fd, unsigned attributes)
{
	return (int)syscall(SYS_fsmount, fs_fd, 1u /* FSMOUNT_CLOEXEC */, attributes);
}

static inline int kernel_pivot_root(const char *new_root, const char *put_old)
{
	return (int)syscall(SYS_pivot_root, new_root, put_old);
}

static inline int kernel_pidfd_open(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0u);
}

static inline int kernel_pidfd_send_signal(int pidfd, int signal)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0u);
}

static inline int kernel_close_range(unsigned first, unsigned last, unsigned flags)
{
	return (int)syscall(SYS_close_range, first, last, flags);
}

static inline int kernel_sched_setattr(pid_t pid, const struct kernel_sched_attr *attr)
{
	return (int)syscall(SYS_sched_setattr, pid, attr, 0u);
}

#endif
