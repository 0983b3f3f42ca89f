/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/common_mounts.h"

#include "common/err.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static int make(const char *run_dir, const agent_Mount *entry, struct err *err)
{
	char path[PATH_MAX];

	/* The name is one component (requests_check.c). */
	snprintf(path, sizeof path, "%s/common/%s", run_dir, entry->source);
	if (mkdir(path, 0700) < 0) {
		if (errno == EEXIST)
			return 0;
		return err_set_errno(err, "creating %s", path);
	}
	if (mount(entry->source, path, message_text(entry->type), MS_NOSUID | MS_NODEV, message_text(entry->data)) == 0)
		return 0;
	err_set_errno(err, "mounting what the containers have in common, %s", entry->source);
	rmdir(path);
	return -1;
}

static bool is_notify(const agent_Mount *mount)
{
	return mount->common && strcmp(message_text(mount->type), COMMON_MOUNT_NOTIFY) == 0;
}

bool common_mounts_notify_path(const char *run_dir, const agent_Container *container, char out[PATH_MAX])
{
	for (size_t i = 0; i < container->mounts_count; i++) {
		if (!is_notify(&container->mounts[i]))
			continue;
		snprintf(out, PATH_MAX, "%s/common/%s", run_dir, container->mounts[i].source);
		return true;
	}
	return false;
}

int common_mounts_make(const char *run_dir, const agent_Container *container, struct err *err)
{
	for (size_t i = 0; i < container->mounts_count; i++) {
		if (container->mounts[i].common && !is_notify(&container->mounts[i]) &&
		    make(run_dir, &container->mounts[i], err) < 0)
			return -1;
	}
	return 0;
}
