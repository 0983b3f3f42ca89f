/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/disk.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/fd_stat.h"

#include "vmm/vmm_api.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

bool disk_is_one(const agent_Device *device)
{
	return device->disk && *device->disk;
}

/* The kernel's own name for it, which is where every host has its node. */
static int find_path(const agent_Device *device, char *out, size_t size, struct err *err)
{
	char path[64], line[256];

	snprintf(path, sizeof path, "/sys/dev/block/%u:%u/uevent", device->major, device->minor);
	auto_file FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof line, file)) {
		if (strncmp(line, "DEVNAME=", 8) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(out, size, "/dev/%s", line + 8);
		return 0;
	}
	return err_set(err, ENODEV, "%s: this host has no block device %u:%u", device->path, device->major,
		       device->minor);
}

static int open_node(const char *path, const agent_Device *device, bool read_only, struct err *err)
{
	auto_fd int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return err_set_errno(err, "%s: %s", device->path, path);
	if (fd_stat(fd, &st) < 0 || !S_ISBLK(st.st_mode) || st.st_rdev != makedev(device->major, device->minor))
		return err_set(err, ENODEV, "%s: %s is not block device %u:%u", device->path, path, device->major,
			       device->minor);
	return take_fd(&fd);
}

int disk_open(const agent_Device *device, struct disk *out, struct err *err)
{
	const char *end = device->disk + strlen(device->disk);
	bool read_only = end - device->disk > 3 && strcmp(end - 3, "-ro") == 0;
	struct vmm_disk disk = { .block_log = 9 };
	int block_size, is_write_protected = 0;
	uint64_t bytes;
	char path[300];

	if (find_path(device, path, sizeof path, err) < 0)
		return -1;
	auto_fd int fd = open_node(path, device, read_only, err);
	/* A device that nobody may write to, of whoever's making, is one that can be read. */
	if (fd < 0 && !read_only && (err->code == EROFS || err->code == EACCES)) {
		*err = (struct err)ERR_INIT;
		read_only = true;
		fd = open_node(path, device, read_only, err);
	}
	if (fd < 0)
		return -1;
	if (ioctl(fd, BLKGETSIZE64, &bytes) < 0 || ioctl(fd, BLKSSZGET, &block_size) < 0)
		return err_set_errno(err, "%s: %s: its size", device->path, path);
	(void)ioctl(fd, BLKROGET, &is_write_protected);
	while (disk.block_log < 16 && 1 << disk.block_log < block_size)
		disk.block_log++;
	disk.sectors = bytes / 512;
	disk.read_only = read_only || is_write_protected;
	*out = (struct disk){ .id = device->disk, .fd = take_fd(&fd), .packed = vmm_disk_pack(disk) };
	return 0;
}
