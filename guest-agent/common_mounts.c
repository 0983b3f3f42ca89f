/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/common_mounts.h"

#include "common/err.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
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

int common_mounts_make(const char *run_dir, const agent_Container *container, struct err *err)
{
	for (size_t i = 0; i < container->mounts_count; i++) {
		if (container->mounts[i].common && make(run_dir, &container->mounts[i], err) < 0)
			return -1;
	}
	return 0;
}
