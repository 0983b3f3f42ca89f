/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/selinux.h"

#include "common/auto.h"
#include "common/err.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LABEL_MAX = 4095 };

bool selinux_is_on(void)
{
	return access("/sys/fs/selinux/enforce", F_OK) == 0;
}

/* USER:ROLE:TYPE[:LEVEL], of printable characters without blanks. */
static bool is_context(const char *label)
{
	unsigned colons = 0;
	size_t length = strlen(label), part = 0;

	for (size_t i = 0; i < length; i++, part++) {
		if (!isgraph((unsigned char)label[i]))
			return false;
		if (label[i] != ':' || colons == 3)
			continue;
		if (part == 0)
			return false;
		colons++;
		part = (size_t)-1;
	}
	return colons >= 2 && part > 0 && length <= LABEL_MAX;
}

char *selinux_monitor_label(const char *label, struct err *err)
{
	static const char plain[] = ":container_t";
	char *out = NULL;

	if (!is_context(label)) {
		err_set(err, EINVAL, "process.selinuxLabel: \"%.200s\" is not USER:ROLE:TYPE:LEVEL", label);
		return NULL;
	}
	const char *type = strchr(strchr(label, ':') + 1, ':');
	size_t length = strcspn(type + 1, ":") + 1;
	bool is_plain = length == strlen(plain) && strncmp(type, plain, length) == 0;
	int n = is_plain ? asprintf(&out, "%.*s:container_kvm_t%s", (int)(type - label), label, type + length)
			 : asprintf(&out, "%s", label);

	if (n < 0) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	return out;
}

int selinux_set_exec(const char *file, const char *label, struct err *err)
{
	size_t length = strlen(label);
	auto_fd int fd = open(file, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, label, length) != (ssize_t)length)
		return err_set_errno(err,
				     "the host's SELinux policy does not take \"%.200s\" for the monitor (\"selinux\": "
				     "false in the host's configuration leaves it out)",
				     label);
	return 0;
}
