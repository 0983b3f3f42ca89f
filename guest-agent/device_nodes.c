/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/device_nodes.h"

#include "common/auto.h"
#include "guest-agent/errtext.h"
#include "guest-agent/namespaces.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define NODES "/dev/.nodes"

/* The id is one component (requests_check.c). */
void device_nodes_path(const char *id, size_t index, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, NODES "/%s/%zu", id, index);
}

static int make_directory(const char *path, struct err *err)
{
	return mkdir(path, 0755) < 0 && errno != EEXIST ? errtext_set(err, "creating %s", path) : 0;
}

static int make_node(const char *path, const agent_Device *device, const agent_Container *container, struct err *err)
{
	uint32_t uid = namespaces_map_id(container->uid_mappings, container->uid_mappings_count, device->uid);
	uint32_t gid = namespaces_map_id(container->gid_mappings, container->gid_mappings_count, device->gid);
	mode_t mode = (mode_t)device->mode;

	/* chmod: the agent has a umask. An id that is not mapped leaves root's. */
	if (mknod(path, mode, makedev(device->major, device->minor)) < 0 || chmod(path, mode & 07777) < 0 ||
	    chown(path, uid, gid) < 0)
		return errtext_set(err, "creating device %s", message_text(device->path));
	return 0;
}

int device_nodes_make(const char *id, const agent_Container *container, struct err *err)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, NODES "/%s", id);
	if (make_directory(NODES, err) < 0 || make_directory(path, err) < 0)
		return -1;
	for (size_t i = 0; i < container->devices_count; i++) {
		const agent_Device *device = &container->devices[i];

		device_nodes_path(id, i, path);
		if (!S_ISFIFO(device->mode) && make_node(path, device, container, err) < 0)
			return -1;
	}
	return 0;
}

void device_nodes_remove(const char *id)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, NODES "/%s", id);
	auto_dir DIR *directory = opendir(path);
	for (struct dirent *at; directory && (at = readdir(directory));)
		unlinkat(dirfd(directory), at->d_name, 0); /* "." and ".." refuse */
	rmdir(path);
}
