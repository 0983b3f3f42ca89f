/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/exec_record.h"

#include "runtime/statedir.h"

#include "common/auto.h"
#include "common/err.h"

#include "oci/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

static int open_directory(int dirfd)
{
	return openat(dirfd, STATEDIR_EXEC, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int exec_record_write(int dirfd, const char *exec, pid_t pid, struct err *err)
{
	if (mkdirat(dirfd, STATEDIR_EXEC, 0700) < 0 && errno != EEXIST)
		return err_set_errno(err, "cannot record the process");
	auto_fd int directory = open_directory(dirfd);
	if (directory < 0)
		return err_set_errno(err, "cannot record the process");
	auto_fd int fd = openat(directory, exec, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || dprintf(fd, "%d %" PRIu64 "\n", (int)pid, oci_pid_start(pid)) < 0)
		return err_set_errno(err, "cannot record the process");
	return 0;
}

void exec_record_remove(int dirfd, const char *exec)
{
	auto_fd int directory = open_directory(dirfd);

	if (directory >= 0)
		unlinkat(directory, exec, 0);
}

size_t exec_record_read(int dirfd, pid_t *pids, size_t max)
{
	int directory = open_directory(dirfd);
	auto_dir DIR *dir = directory < 0 ? NULL : fdopendir(directory);
	size_t count = 0;

	for (struct dirent *entry; dir && count < max && (entry = readdir(dir));) {
		int fd = entry->d_name[0] == '.' ? -1 : openat(directory, entry->d_name, O_RDONLY | O_CLOEXEC);
		auto_file FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
		uint64_t start;
		int pid;

		if (file && fscanf(file, "%d %" SCNu64, &pid, &start) == 2 && pid > 0 && start > 0 &&
		    oci_pid_start(pid) == start)
			pids[count++] = pid;
	}
	return count;
}
