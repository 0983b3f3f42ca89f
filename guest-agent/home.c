/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/home.h"

#include "common/auto.h"
#include "guest-agent/files.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PASSWD_MAX = 4 << 20, FIELD_UID = 2, FIELD_HOME = 5 };

/* The field of a line that ends at `end`; NULL if it has not that many. */
static const char *field(const char *line, const char *end, int number, size_t *length)
{
	while (number-- > 0) {
		line = memchr(line, ':', (size_t)(end - line));
		if (!line)
			return NULL;
		line++;
	}
	const char *stop = memchr(line, ':', (size_t)(end - line));
	*length = (size_t)((stop ? stop : end) - line);
	return line;
}

void home_in_text(const char *text, unsigned uid, char out[PATH_MAX])
{
	memcpy(out, "/", 2);
	for (const char *line = text; *line;) {
		const char *end = strchrnul(line, '\n');
		size_t uid_length, home_length;
		const char *uid_text = field(line, end, FIELD_UID, &uid_length);
		const char *home = field(line, end, FIELD_HOME, &home_length);
		char *rest;

		if (uid_text && home && uid_length > 0 && strtoull(uid_text, &rest, 10) == uid &&
		    rest == uid_text + uid_length) {
			if (home_length > 0 && home_length < PATH_MAX) {
				memcpy(out, home, home_length);
				out[home_length] = '\0';
			}
			return;
		}
		line = *end ? end + 1 : end;
	}
}

void home_of(unsigned uid, char out[PATH_MAX])
{
	/* O_NONBLOCK and the check: an image may have a FIFO or a device there. */
	auto_fd int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	auto_free char *text = NULL;
	struct stat status;

	if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
		text = file_read_all(fd, PASSWD_MAX, NULL);
	home_in_text(text ? text : "", uid, out);
}
