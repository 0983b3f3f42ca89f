/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/nameservers.h"

#include "common/auto.h"
#include "common/fd_stat.h"

#include "oci/config.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define CONF "/etc/resolv.conf"

static int only_ordinary(int fd)
{
	struct stat st;

	if (fd < 0 || (fd_stat(fd, &st) == 0 && S_ISREG(st.st_mode)))
		return fd;
	close(fd);
	return -1;
}

/* The root is hostile: its links are followed inside of it, and nothing in it is waited for. */
static int open_in_root(const char *rootfs)
{
	const struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	auto_fd int root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return root < 0 ? -1 : (int)syscall(SYS_openat2, root, CONF, &how, sizeof how);
}

int nameservers_open_conf(const struct oci_config *config, const char *rootfs)
{
	const char *source = NULL;

	for (size_t i = 0; i < config->mount_count; i++) {
		const struct oci_mount *mount = &config->mounts[i];

		if (mount->bind && mount->source && strcmp(mount->destination, CONF) == 0)
			source = mount->source; /* the last one covers the others */
	}
	if (!source)
		return only_ordinary(open_in_root(rootfs));
	return only_ordinary(open(source, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}
