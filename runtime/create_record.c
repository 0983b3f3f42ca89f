/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/create_record.h"

#include "runtime/create.h"
#include "runtime/statedir.h"

#include "common/auto.h"
#include "common/err.h"

#include "oci/alloc.h"
#include "oci/config.h"
#include "oci/store.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The user's name without the name service, which a static program should not load. */
static char *owner_name(void)
{
	auto_file FILE *file = fopen("/etc/passwd", "re");

	for (struct passwd *entry; file && (entry = fgetpwent(file));) {
		if (entry->pw_uid == getuid())
			return oci_strdup(entry->pw_name);
	}
	return oci_format("%u", getuid());
}

struct oci_store *create_record_new(const struct create_request *request)
{
	const struct oci_config *config = request->config;
	struct oci_store *store = oci_alloc(1, sizeof *store);
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	store->id = oci_strdup(request->id);
	store->bundle = oci_strdup(config->bundle);
	store->rootfs = config->root_path[0] == '/' ? oci_strdup(config->root_path)
						    : oci_format("%s/%s", config->bundle, config->root_path);
	store->owner = owner_name();
	store->created_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	oci_map_copy(&store->annotations, &config->annotations);
	oci_hook_list_copy(&store->poststop, &config->hooks.lists[OCI_HOOK_POSTSTOP]);
	return store;
}

int create_record_copy_config(const struct create_request *request, int dirfd, struct err *err)
{
	const char *from = request->config_text;
	size_t length = strlen(from);
	auto_fd int fd = openat(dirfd, STATEDIR_CONFIG, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set_errno(err, "%s/%s: cannot write the configuration", request->globals->root, request->id);
	while (length > 0) {
		ssize_t n = write(fd, from, length);

		if (n <= 0)
			return err_set_errno(err, "%s/%s: cannot write the configuration", request->globals->root,
					     request->id);
		from += n;
		length -= (size_t)n;
	}
	return 0;
}

void create_record_note(struct oci_store *store, const char *name, int value)
{
	auto_free char *text = oci_format("%d", value);

	oci_map_set(&store->extra, name, text);
}
