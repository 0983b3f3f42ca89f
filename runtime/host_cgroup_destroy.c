/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_cgroup_destroy.c - the end of a container's host cgroup, with what others have made below it: a process that an
 * administrator moved into a sub-cgroup is the container's all the same.
 */
#include "runtime/host_cgroup.h"

#include "common/auto.h"
#include "common/err.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EMPTY_TIMEOUT_MS = 10 * 1000, DEPTH_MAX = 32 };

static void kill_all(int dirfd)
{
	auto_fd int fd = openat(dirfd, "cgroup.kill", O_WRONLY | O_CLOEXEC);

	/* Where the kernel has no such file, waiting tells whether anything is left. */
	if (fd >= 0 && write(fd, "1", 1) < 0)
		return;
}

/* cgroup.events polls POLLPRI when "populated" changes. It counts what is below, too. */
static int wait_empty(int dirfd, int timeout_ms)
{
	char text[256];
	struct timespec start, now;
	auto_fd int fd = openat(dirfd, "cgroup.events", O_RDONLY | O_CLOEXEC);

	clock_gettime(CLOCK_MONOTONIC, &start);
	while (fd >= 0) {
		ssize_t n = pread(fd, text, sizeof text - 1, 0);

		if (n < 0)
			return -1;
		text[n] = '\0';
		if (strstr(text, "populated 0"))
			return 0;
		clock_gettime(CLOCK_MONOTONIC, &now);
		long left = timeout_ms - ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000);
		struct pollfd poller = { .fd = fd, .events = POLLPRI };
		if (left <= 0 || poll(&poller, 1, (int)left) == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
	}
	return -1;
}

/* Goes on past what cannot be removed: the rmdir of the top then fails and says so. */
static void remove_below(int dirfd, int depth)
{
	auto_fd int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_dir DIR *dir = fd < 0 || depth > DEPTH_MAX ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir)
		return;
	take_fd(&fd); /* the stream's now */
	while ((entry = readdir(dir))) {
		if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		auto_fd int below = openat(dirfd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below >= 0)
			remove_below(below, depth + 1);
		unlinkat(dirfd, entry->d_name, AT_REMOVEDIR);
	}
}

int host_cgroup_destroy(const char *path, struct err *err)
{
	char full[PATH_MAX];

	snprintf(full, sizeof full, HOST_CGROUP_MOUNT "%s", path);
	auto_fd int dir = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT ? 0 : err_set_errno(err, "host cgroup %s", path);
	if (rmdir(full) == 0)
		return 0;
	kill_all(dir);
	if (wait_empty(dir, EMPTY_TIMEOUT_MS) < 0)
		return err_set_errno(err, "cannot remove host cgroup %s", path);
	remove_below(dir, 0);
	if (rmdir(full) < 0 && errno != ENOENT)
		return err_set_errno(err, "cannot remove host cgroup %s", path);
	return 0;
}
