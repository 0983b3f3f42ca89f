/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fd_stat.h - fstat by the system call of that name.
 *
 * glibc's makes newfstatat of it, with an empty path. The kernel (before 6.11) takes a page for that path and, as
 * distributions configure it, clears it: five sixths of the call.
 */
#ifndef BULKHEAD_FD_STAT_H
#define BULKHEAD_FD_STAT_H

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As fstat(2). Any thread. */
static inline int fd_stat(int fd, struct stat *status)
{
	_Static_assert(sizeof(struct stat) == 144, "the kernel's own, as x86-64 has it");
	return (int)syscall(SYS_fstat, fd, status);
}

#endif
