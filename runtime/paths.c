/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/paths.h"

#include "common/err.h"

#include <errno.h>
#include <stdbool.h>
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

static bool cut_last(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash)
		*slash = '\0';
	return slash;
}

static int fill(struct paths *paths, const char *programs, const char *files, struct err *err)
{
	if (join(paths->monitor, programs, "bulkhead-vmm", err) < 0 ||
	    join(paths->proxy, programs, "bulkhead-proxy", err) < 0 || join(paths->kernel, files, "vmlinux", err) < 0 ||
	    join(paths->initrd, files, "initramfs", err) < 0 || join(paths->cmdline, files, "cmdline", err) < 0)
		return -1;
	return 0;
}

int paths_find_from(const char *program, struct paths *paths, struct err *err)
{
	char own[PATH_MAX], programs[PATH_MAX], files[PATH_MAX];

	if (join(own, program, "", err) < 0)
		return -1;
	cut_last(own); /* the slash that was added */
	cut_last(own);
	if (fill(paths, own, own, err) < 0)
		return -1;
	if (access(paths->monitor, X_OK) == 0)
		return 0;
	cut_last(own);
	if (join(programs, own, "libexec/bulkhead", err) < 0 || join(files, own, "share/bulkhead", err) < 0 ||
	    fill(paths, programs, files, err) < 0)
		return -1;
	if (access(paths->monitor, X_OK) == 0)
		return 0;
	return fill(paths, LIBEXECDIR, DATADIR, err);
}

int paths_find(struct paths *paths, struct err *err)
{
	char own[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);

	if (n < 0)
		return err_set_errno(err, "/proc/self/exe");
	own[n] = '\0';
	return paths_find_from(own, paths, err);
}
