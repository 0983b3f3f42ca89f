/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/pid_file.h"

#include "common/auto.h"
#include "common/err.h"

#include "oci/alloc.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int pid_file_write(const char *path, pid_t pid, struct err *err)
{
	auto_free char *temporary = oci_format("%s.%d.tmp", path, (int)getpid());
	char text[16];
	int length = snprintf(text, sizeof text, "%d", (int)pid);
	auto_fd int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		return err_set_errno(err, "--pid-file: %s", path);
	if (write(fd, text, (size_t)length) != length || rename(temporary, path) < 0) {
		err_set_errno(err, "--pid-file: %s", path);
		unlink(temporary);
		return -1;
	}
	return 0;
}
