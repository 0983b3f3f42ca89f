/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/statedir.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/fd_stat.h"

#include "oci/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

/* How long a command waits for another one on the same container: longer than any of them may take. */
enum { LOCK_SECONDS = 150 };

int statedir_default_root(const char **root, struct err *err)
{
	static char path[4096];
	const char *runtime_dir = getenv("XDG_RUNTIME_DIR");

	if (*root && **root)
		return 0;
	if (geteuid() == 0) {
		*root = "/run/bulkhead";
		return 0;
	}
	if (!runtime_dir || !*runtime_dir)
		return err_set(err, ENOENT, "no place for the state: XDG_RUNTIME_DIR is not set; give --root DIR");
	snprintf(path, sizeof path, "%s/bulkhead", runtime_dir);
	*root = path;
	return 0;
}

static int make_directories(const char *path, struct err *err)
{
	char partial[4096];

	if ((size_t)snprintf(partial, sizeof partial, "%s", path) >= sizeof partial)
		return err_set(err, ENAMETOOLONG, "--root: %.64s...: path too long", path);
	for (char *slash = partial + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (mkdir(partial, 0755) < 0 && errno != EEXIST)
			return err_set_errno(err, "cannot make directory %s", partial);
		*slash = '/';
	}
	if (mkdir(partial, 0700) < 0 && errno != EEXIST)
		return err_set_errno(err, "cannot make directory %s", partial);
	return 0;
}

static void lock_expired(int number)
{
	(void)number; /* only there to interrupt flock */
}

/* flock has no time-out of its own. The timer repeats, so that a shot just before the call is not the only one. */
int statedir_lock(int fd, const char *id, struct err *err)
{
	struct sigaction action = { .sa_handler = lock_expired }, before;
	struct itimerval limit = { .it_value.tv_sec = LOCK_SECONDS, .it_interval.tv_usec = 200000 }, off = { 0 };

	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	sigaction(SIGALRM, &action, &before);
	setitimer(ITIMER_REAL, &limit, NULL);
	int result = flock(fd, LOCK_EX);
	int saved = errno;
	setitimer(ITIMER_REAL, &off, NULL);
	sigaction(SIGALRM, &before, NULL);
	errno = saved;
	if (result == 0)
		return 0;
	if (errno == EINTR)
		return err_set(err, EBUSY, "container \"%s\": another command has been at work on it for %d seconds",
			       id, LOCK_SECONDS);
	return err_set_errno(err, "container \"%s\": cannot lock its state", id);
}

static int open_root(const char *root, struct err *err)
{
	int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 ? fd : err_set_errno(err, "%s", root);
}

int statedir_create(const char *root, const char *id, struct err *err)
{
	if (make_directories(root, err) < 0)
		return -1;
	auto_fd int root_fd = open_root(root, err);
	if (root_fd < 0)
		return -1;
	if (mkdirat(root_fd, id, 0700) < 0) {
		if (errno == EEXIST)
			return err_set(err, EEXIST, "container with given ID already exists: \"%s\"", id);
		return err_set_errno(err, "cannot make directory %s/%s", root, id);
	}
	auto_fd int fd = openat(root_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		err_set_errno(err, "%s/%s", root, id);
		unlinkat(root_fd, id, AT_REMOVEDIR);
		return -1;
	}
	/* Somebody's `delete --force` may have seen the empty directory first. Then that one has won. */
	struct stat st;
	if (statedir_lock(fd, id, err) < 0)
		return -1;
	if (fd_stat(fd, &st) < 0 || st.st_nlink == 0)
		return err_set(err, ENOENT, "container \"%s\" was deleted while it was made", id);
	return take_fd(&fd);
}

static int does_not_exist(const char *id, struct err *err)
{
	return err_set(err, ENOENT, "container does not exist: \"%s\"", id);
}

int statedir_open(const char *root, const char *id, bool want_lock, struct err *err)
{
	struct stat st;
	char path[4096];

	if (oci_id_check(id, err) < 0)
		return err_wrap(err, "\"%s\"", id);
	if ((size_t)snprintf(path, sizeof path, "%s/%s", root, id) >= sizeof path)
		return err_set(err, ENAMETOOLONG, "--root: %.64s...: path too long", root);
	auto_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? does_not_exist(id, err) : err_set_errno(err, "%s", path);
	if (want_lock) {
		if (statedir_lock(fd, id, err) < 0)
			return -1;
		/* Deleted while we waited. */
		if (fd_stat(fd, &st) < 0 || st.st_nlink == 0)
			return does_not_exist(id, err);
	}
	return take_fd(&fd);
}

bool statedir_is_current(const char *root, const char *id, int dirfd)
{
	struct stat ours, there;
	char path[4096];

	snprintf(path, sizeof path, "%.3000s/%.1024s", root, id);
	return fd_stat(dirfd, &ours) == 0 && stat(path, &there) == 0 && ours.st_dev == there.st_dev &&
	       ours.st_ino == there.st_ino;
}

static bool is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Empties a directory of files and of directories of files, which is all we make. `keep` stays. */
static int empty(int dirfd, const char *keep, int depth, struct err *err)
{
	int result = 0;
	int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_dir DIR *dir = copy < 0 ? NULL : fdopendir(copy);

	if (!dir)
		return err_set_errno(err, "cannot read the state directory");
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (is_dot(entry->d_name) || (keep && strcmp(entry->d_name, keep) == 0))
			continue;
		if (unlinkat(dirfd, entry->d_name, 0) == 0)
			continue;
		if ((errno == EISDIR || errno == EPERM) && depth > 0) {
			auto_fd int sub = openat(dirfd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (sub >= 0 && empty(sub, NULL, depth - 1, err) == 0 &&
			    unlinkat(dirfd, entry->d_name, AT_REMOVEDIR) == 0)
				continue;
		}
		result = err_set_errno(err, "cannot remove %s from the state directory", entry->d_name);
	}
	return result;
}

int statedir_remove(const char *root, const char *id, int dirfd, struct err *err)
{
	char path[4096];
	int result = empty(dirfd, STATEDIR_STATE, 2, err);

	snprintf(path, sizeof path, "%s/%s", root, id);
	if (unlinkat(dirfd, STATEDIR_STATE, 0) < 0 && errno != ENOENT && result == 0)
		result = err_set_errno(err, "cannot remove %s/%s", path, STATEDIR_STATE);
	if (rmdir(path) < 0 && errno != ENOENT && result == 0)
		result = err_set_errno(err, "cannot remove %s", path);
	return result;
}

int statedir_each(const char *root, int (*callback)(const char *id, void *arg), void *arg, struct err *err)
{
	struct err ignored = ERR_INIT;
	auto_dir DIR *dir = opendir(root);

	if (!dir)
		return errno == ENOENT ? 0 : err_set_errno(err, "%s", root);
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN)
			continue;
		if (oci_id_check(entry->d_name, &ignored) < 0)
			continue;
		int result = callback(entry->d_name, arg);
		if (result)
			return result;
	}
	return 0;
}

struct match {
	regex_t pattern;
	int (*callback)(const char *id, void *arg);
	void *arg;
};

static int call_if_match(const char *id, void *arg)
{
	const struct match *match = arg;

	return regexec(&match->pattern, id, 0, NULL, 0) == 0 ? match->callback(id, match->arg) : 0;
}

int statedir_each_match(const char *root, const char *pattern, int (*callback)(const char *id, void *arg), void *arg,
			struct err *err)
{
	struct match match = { .callback = callback, .arg = arg };
	char why[128];
	int code = regcomp(&match.pattern, pattern, REG_EXTENDED | REG_NOSUB);

	if (code) {
		regerror(code, &match.pattern, why, sizeof why);
		return err_set(err, EINVAL, "\"%s\" is no regular expression: %s", pattern, why);
	}
	int result = statedir_each(root, call_if_match, &match, err);
	regfree(&match.pattern);
	return result;
}
