/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/disks.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/proto.h"
#include "guest-agent/errtext.h"
#include "guest-agent/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_DIR "/sys/block"

/* 1: it is the disk, 0: it is another one. */
static int read_numbers(const char *name, agent_Device *device)
{
	char path[sizeof BLOCK_DIR + NAME_MAX + 16], text[64];

	/* The kernel ends it with a newline in some versions, and in some not. */
	snprintf(path, sizeof path, BLOCK_DIR "/%s/serial", name);
	if (file_read_at(AT_FDCWD, path, text, sizeof text) < 0)
		return 0;
	text[strcspn(text, "\n")] = '\0';
	if (strcmp(text, device->disk) != 0)
		return 0;
	snprintf(path, sizeof path, BLOCK_DIR "/%s/dev", name);
	return file_read_at(AT_FDCWD, path, text, sizeof text) > 0 &&
	       sscanf(text, "%u:%u", &device->major, &device->minor) == 2;
}

static int resolve(agent_Device *device, struct err *err)
{
	DIR *dir = opendir(BLOCK_DIR);
	const struct dirent *entry;
	int found = 0;

	if (!dir)
		return errtext_set(err, "device %.200s: " BLOCK_DIR, device->path);
	while (!found && (entry = readdir(dir)))
		found = entry->d_name[0] != '.' && read_numbers(entry->d_name, device);
	closedir(dir);
	if (!found)
		return err_set(err, ENODEV, "device %.200s: the guest's kernel shows no disk %.32s", device->path,
			       device->disk);
	return 0;
}

/* As oci/device_filter.c makes it: a comparison of the major number, and right behind it one of the minor number. */
static void patch_filter(pb_bytes_array_t *filter, const agent_Container *container)
{
	const size_t size = sizeof(struct bpf_insn);
	struct bpf_insn major, minor;

	for (size_t at = 0; filter && at + 2 * size <= filter->size; at += size) {
		memcpy(&major, filter->bytes + at, size);
		memcpy(&minor, filter->bytes + at + size, size);
		if (major.code != (BPF_JMP | BPF_JNE | BPF_K) || major.imm != PROTO_DISK_MAJOR || minor.imm < 0 ||
		    (pb_size_t)minor.imm >= container->devices_count)
			continue;
		major.imm = (int32_t)container->devices[minor.imm].major;
		minor.imm = (int32_t)container->devices[minor.imm].minor;
		memcpy(filter->bytes + at, &major, size);
		memcpy(filter->bytes + at + size, &minor, size);
	}
}

int disks_resolve(agent_Container *container, struct err *err)
{
	bool has_disks = false;

	for (size_t i = 0; i < container->devices_count; i++) {
		agent_Device *device = &container->devices[i];

		if (!device->disk || !*device->disk)
			continue;
		has_disks = true;
		if (resolve(device, err) < 0)
			return -1;
	}
	if (has_disks)
		patch_filter(container->device_filter, container);
	return 0;
}
