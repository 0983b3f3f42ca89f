/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/proxy_devices.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* The numbers are the kernel's, for good (Documentation/admin-guide/devices.txt): the modules load by them. */
static const struct {
	const char *name;
	unsigned major_number, minor_number;
} nodes[] = {
	{ "net/tun", 10, 200 },
	{ "vhost-net", 10, 238 },
};

static int mount_tmpfs(void)
{
	auto_fd int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);

	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "size", "4k", 0) ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "nr_inodes", "4", 0) ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0700", 0) || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -1;
	return fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
}

static int make(void)
{
	struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY };
	auto_fd int fd = mount_tmpfs();

	if (fd < 0 || mkdirat(fd, "net", 0700))
		return -1;
	for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
		if (mknodat(fd, nodes[i].name, S_IFCHR | 0600, makedev(nodes[i].major_number, nodes[i].minor_number)))
			return -1;
	return mount_setattr(fd, "", AT_EMPTY_PATH, &read_only, sizeof read_only) ? -1 : take_fd(&fd);
}

int proxy_devices_open(struct err *err)
{
	int fd = make();

	if (fd >= 0)
		return fd;
	log_debug("network: no devices of the proxy's own (%s): it keeps /dev", strerror(errno));
	fd = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 ? fd : err_set_errno(err, "/dev");
}
