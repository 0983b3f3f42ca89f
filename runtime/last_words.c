/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/last_words.h"

#include "runtime/plain_text.h"
#include "runtime/statedir.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/fd_stat.h"
#include "common/log.h"

#include "oci/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TERMINATION_LOG "/dev/termination-log"

int last_words_make(int dirfd, struct err *err)
{
	auto_fd int fd = openat(dirfd, STATEDIR_END, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return fd < 0 ? err_set_errno(err, "cannot make %s in the state directory", STATEDIR_END) : 0;
}

int last_words_open_log(const struct oci_config *config)
{
	struct stat st;

	for (size_t i = 0; i < config->mount_count; i++) {
		const struct oci_mount *mount = &config->mounts[i];

		if (!mount->bind || !mount->source || mount->source[0] != '/' ||
		    strcmp(mount->destination, TERMINATION_LOG) != 0)
			continue;
		/* The kubelet made it; whatever else may be at that path by now is not waited for. */
		auto_fd int fd = open(mount->source, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0 && fd_stat(fd, &st) == 0 && S_ISREG(st.st_mode))
			return take_fd(&fd);
	}
	return -1;
}

bool last_words_exist(int dirfd)
{
	return faccessat(dirfd, STATEDIR_END, F_OK, 0) == 0;
}

int last_words_open(int dirfd)
{
	return openat(dirfd, STATEDIR_END, O_WRONLY | O_APPEND | O_CLOEXEC);
}

void last_words_write(int fd, const char *why)
{
	if (fd >= 0 && write(fd, why, strlen(why)) < 0)
		log_debug("%s: %s", STATEDIR_END, strerror(errno));
}

/* Not dprintf: that of older versions of libc asks for the file's position first, which a confined proxy may not. */
void last_words_log(int fd, const char *why)
{
	char text[ERR_TEXT_MAX + 64];
	int length = snprintf(text, sizeof text, "the virtual machine was lost: %s\n", why);

	if (fd < 0 || length < 0)
		return;
	if ((size_t)length >= sizeof text)
		length = (int)sizeof text - 1;
	if (write(fd, text, (size_t)length) < 0)
		log_debug(TERMINATION_LOG ": %s", strerror(errno));
}

bool last_words_read(int dirfd, char *out, size_t size)
{
	auto_fd int fd = openat(dirfd, STATEDIR_END, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

	if (n <= 0)
		return false;
	out[n] = '\0';
	plain_text(out);
	return true;
}
