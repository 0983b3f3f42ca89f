/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/paths.h"

#include "common/auto.h"
#include "guest-agent/kernel.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { LINKS_MAX = 40, RACES_MAX = 32 };

int path_open(int root_fd, const char *path, int flags)
{
	struct kernel_open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.resolve = KERNEL_RESOLVE_IN_ROOT | KERNEL_RESOLVE_NO_MAGICLINKS,
	};

	/* EAGAIN: something was renamed or mounted while the kernel walked past "..": it asks us to try again. */
	for (int tries = 0;; tries++) {
		int fd = kernel_openat2(root_fd, path[0] ? path : ".", &how);

		if (fd >= 0 || errno != EAGAIN || tries == RACES_MAX)
			return fd;
	}
}

/*
 * `work` has a component at [start, end) that is a link to a name that does not exist. Replaces it by what it points
 * to: "a/link/rest" becomes "a/target/rest", or "target/rest" if the target is absolute.
 */
static int follow_dangling(char work[PATH_MAX], size_t start, size_t end, const char *target)
{
	char next[PATH_MAX];
	int n = snprintf(next, sizeof next, "%.*s%s%s", target[0] == '/' ? 0 : (int)start, work, target, work + end);

	if (n < 0 || (size_t)n >= sizeof next) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(work, next, (size_t)n + 1);
	return 0;
}

static int make_one(int parent_fd, const char *name, bool is_directory)
{
	if (is_directory) {
		if (mkdirat(parent_fd, name, 0755) < 0 && errno != EEXIST)
			return -1;
	} else {
		auto_fd int fd = openat(parent_fd, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0644);

		if (fd < 0 && errno != EEXIST)
			return -1;
	}
	return openat(parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

/*
 * One walk along `work`. Returns an O_PATH descriptor, or -1; with errno 0 a dangling link was replaced in `work`, and
 * the walk has to begin again.
 */
static int walk_and_make(int root_fd, char work[PATH_MAX], bool is_directory)
{
	auto_fd int parent = path_open(root_fd, ".", O_PATH | O_DIRECTORY);
	size_t end = 0;

	if (parent < 0)
		return -1;
	for (;;) {
		size_t start = end + strspn(work + end, "/");

		if (!work[start])
			return take_fd(&parent);
		end = start + strcspn(work + start, "/");
		bool is_last = work[end + strspn(work + end, "/")] == '\0';
		char after = work[end];

		work[end] = '\0';
		/* From the root each time, so that the kernel does the links and "..". */
		int fd = path_open(root_fd, work, O_PATH);
		if (fd < 0 && errno == ENOENT) {
			char target[PATH_MAX];
			ssize_t n = readlinkat(parent, work + start, target, sizeof target - 1);

			if (n > 0) {
				target[n] = '\0';
				work[end] = after;
				if (follow_dangling(work, start, end, target) == 0)
					errno = 0;
				return -1;
			}
			fd = make_one(parent, work + start, !is_last || is_directory);
		}
		work[end] = after;
		if (fd < 0)
			return -1;
		close_fd(&parent);
		parent = fd;
	}
}

int path_make(int root_fd, const char *path, bool is_directory)
{
	char work[PATH_MAX];

	if (strlen(path) >= sizeof work) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(work, path, strlen(path) + 1);
	for (int links = 0; links < LINKS_MAX; links++) {
		int fd = walk_and_make(root_fd, work, is_directory);

		if (fd >= 0 || errno != 0)
			return fd;
	}
	errno = ELOOP;
	return -1;
}

int path_make_parent(int root_fd, const char *path, char *name)
{
	char parent[PATH_MAX];
	size_t length = strlen(path);

	while (length > 0 && path[length - 1] == '/')
		length--;
	size_t start = length;
	while (start > 0 && path[start - 1] != '/')
		start--;
	if (length == start || length - start > NAME_MAX || start >= sizeof parent) {
		errno = length == start ? EINVAL : ENAMETOOLONG;
		return -1;
	}
	memcpy(name, path + start, length - start);
	name[length - start] = '\0';
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		errno = EINVAL;
		return -1;
	}
	memcpy(parent, path, start);
	parent[start] = '\0';
	return path_make(root_fd, parent, true);
}
