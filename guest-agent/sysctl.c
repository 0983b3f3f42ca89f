/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/sysctl.h"

#include "common/auto.h"
#include "guest-agent/errtext.h"
#include "guest-agent/kernel.h"

#include <string.h>

bool sysctl_path(const char *name, char out[PATH_MAX])
{
	static const char folder[] = "sys/";
	size_t used = sizeof folder - 1;
	bool has_dots = name[strcspn(name, "./")] == '.';

	if (!name[0] || name[0] == '/' || strlen(name) + sizeof folder > PATH_MAX)
		return false;
	memcpy(out, folder, used);
	for (; *name; name++) {
		char c = *name;

		if (has_dots)
			c = c == '.' ? '/' : c == '/' ? '.' : c;
		out[used++] = c;
	}
	out[used] = '\0';
	return !strstr(out, "/../") && !strstr(out, "//") && strcmp(out + used - 3, "/..") != 0;
}

static int write_parameter(int proc_fd, const char *path, const char *value)
{
	const struct kernel_open_how how = {
		.flags = O_WRONLY | O_CLOEXEC,
		.resolve = KERNEL_RESOLVE_BENEATH | KERNEL_RESOLVE_NO_SYMLINKS | KERNEL_RESOLVE_NO_XDEV,
	};
	auto_fd int fd = kernel_openat2(proc_fd, path, &how);

	if (fd < 0)
		return -1;
	return write(fd, value, strlen(value)) < 0 ? -1 : 0;
}

int sysctl_apply(int proc_fd, const agent_Container *container, enum sysctl_part part, struct err *err)
{
	static const char network[] = "sys/net/";

	for (size_t i = 0; i < container->sysctls_count; i++) {
		const agent_FileValue *sysctl = &container->sysctls[i];
		char path[PATH_MAX];

		if (!sysctl_path(message_text(sysctl->name), path))
			return err_set(err, EINVAL, "sysctl \"%.200s\" is not a parameter's name",
				       message_text(sysctl->name));
		bool is_network = strncmp(path, network, sizeof network - 1) == 0;
		if (!(part & (is_network ? SYSCTL_NETWORK : SYSCTL_OTHERS)))
			continue;
		if (write_parameter(proc_fd, path, message_text(sysctl->value)) < 0)
			return errtext_set(err, "setting sysctl %s to \"%.200s\"", sysctl->name,
					   message_text(sysctl->value));
	}
	return 0;
}
