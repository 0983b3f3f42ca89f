/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/paths.h"

#include "common/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef LIBEXECDIR
#define LIBEXECDIR "/usr/local/libexec/bulkhead"
#endif
#ifndef DATADIR
#define DATADIR "/usr/local/share/bulkhead"
#endif

static int join(char out[PATH_MAX], const char *directory, const char *name, struct err *err)
{
	if ((size_t)snprintf(out, PATH_MAX, "%s/%s", directory, name) >= PATH_MAX)
		return err_set(err, ENAMETOOLONG, "%.64s...: path too long", directory);
	return 0;
}

int paths_find(struct paths *paths, struct err *err)
{
	char own[PATH_MAX];
	const char *programs = LIBEXECDIR, *files = DATADIR;
	ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);

	if (n < 0)
		return err_set_errno(err, "/proc/self/exe");
	own[n] = '\0';
	*strrchr(own, '/') = '\0';
	if (join(paths->monitor, own, "bulkhead-vmm", err) < 0)
		return -1;
	if (access(paths->monitor, X_OK) == 0)
		programs = files = own;
	if (join(paths->monitor, programs, "bulkhead-vmm", err) < 0 ||
	    join(paths->proxy, programs, "bulkhead-proxy", err) < 0 || join(paths->kernel, files, "vmlinux", err) < 0 ||
	    join(paths->initrd, files, "initramfs", err) < 0 || join(paths->cmdline, files, "cmdline", err) < 0)
		return -1;
	return 0;
}
