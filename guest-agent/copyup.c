/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/copyup.h"

#include "common/auto.h"
#include "guest-agent/errtext.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

enum { DEPTH_MAX = 128, PIECE = 1 << 20 };

static int copy_level(int from_fd, int to_fd, unsigned depth, struct err *err);

static int copy_file(int from_dir, int to_dir, const char *name)
{
	/* O_NONBLOCK costs a regular file nothing; should the name have become a FIFO, it does not hold us up. */
	auto_fd int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	auto_fd int to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	ssize_t n;

	if (from < 0 || to < 0)
		return -1;
	do {
		n = sendfile(to, from, NULL, PIECE);
	} while (n > 0);
	return n < 0 ? -1 : 0;
}

static int copy_link(int from_dir, int to_dir, const char *name)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from_dir, name, target, sizeof target - 1);

	if (n < 0)
		return -1;
	target[n] = '\0';
	return symlinkat(target, to_dir, name);
}

static int copy_folder(int from_dir, int to_dir, const char *name, unsigned depth, struct err *err)
{
	auto_fd int from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (from < 0 || mkdirat(to_dir, name, 0700) < 0)
		return errtext_set(err, "%s", name);
	auto_fd int to = openat(to_dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0)
		return errtext_set(err, "%s", name);
	if (copy_level(from, to, depth, err) < 0)
		return err_wrap(err, "%s", name);
	return 0;
}

/* Owner first: changing it takes the set-user-id bits away. */
static int copy_metadata(int to_dir, const char *name, const struct stat *status)
{
	const struct timespec times[2] = { status->st_atim, status->st_mtim };

	if (fchownat(to_dir, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	if (!S_ISLNK(status->st_mode) && fchmodat(to_dir, name, status->st_mode & 07777, 0) < 0)
		return -1;
	return utimensat(to_dir, name, times, AT_SYMLINK_NOFOLLOW);
}

static int copy_entry(int from_dir, int to_dir, const char *name, unsigned depth, struct err *err)
{
	struct stat status;
	int ret;

	if (fstatat(from_dir, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errtext_set(err, "%s", name);
	if (S_ISDIR(status.st_mode)) {
		if (copy_folder(from_dir, to_dir, name, depth, err) < 0)
			return -1;
		ret = 0;
	} else if (S_ISREG(status.st_mode)) {
		ret = copy_file(from_dir, to_dir, name);
	} else if (S_ISLNK(status.st_mode)) {
		ret = copy_link(from_dir, to_dir, name);
	} else if (S_ISSOCK(status.st_mode)) {
		return 0; /* its listener is not copied either */
	} else {
		ret = mknodat(to_dir, name, status.st_mode, status.st_rdev);
	}
	if (ret < 0 || copy_metadata(to_dir, name, &status) < 0)
		return errtext_set(err, "%s", name);
	return 0;
}

static int copy_level(int from_fd, int to_fd, unsigned depth, struct err *err)
{
	int scan_fd = fcntl(from_fd, F_DUPFD_CLOEXEC, 0);
	auto_dir DIR *dir = scan_fd < 0 ? NULL : fdopendir(scan_fd);

	if (!dir) {
		close_fd(&scan_fd);
		return errtext_set(err, "reading the directory");
	}
	if (depth == DEPTH_MAX)
		return err_set(err, ELOOP, "more than %d levels of directories", DEPTH_MAX);
	for (;;) {
		errno = 0;
		struct dirent *entry = readdir(dir);

		if (!entry)
			return errno ? errtext_set(err, "reading the directory") : 0;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (copy_entry(from_fd, to_fd, entry->d_name, depth + 1, err) < 0)
			return -1;
	}
}

int copyup_directory(int from_fd, int to_fd, struct err *err)
{
	return copy_level(from_fd, to_fd, 0, err);
}
