/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/create_cgroup.h"

#include "runtime/command.h"
#include "runtime/host_cgroup.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include "oci/config.h"
#include "oci/store.h"
#include "oci/vm_size.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The monitor's and the proxy's own memory. */
#define HOST_OVERHEAD_BYTES (32ull << 20)

/* Once per boot: a file in the root directory, under a name that cannot be an id, remembers that it was said. */
static void note_no_host_limits(const struct globals *globals)
{
	char path[PATH_MAX];

	if (geteuid() != 0)
		return;
	snprintf(path, sizeof path, "%.4000s/no-host-limits,noted", globals->root);
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		log_warn("this host has no cgroup v2 at /sys/fs/cgroup: containers run without limits on its side");
}

static bool manager_is(const struct globals *globals, const char *name)
{
	return globals->cgroup_manager && strcmp(globals->cgroup_manager, name) == 0;
}

int create_cgroup_choose(const struct globals *globals, const struct oci_config *config, struct oci_store *store,
			 struct err *err)
{
	bool systemd = globals->systemd_cgroup || manager_is(globals, "systemd");

	if (manager_is(globals, "disabled"))
		return 0;
	if (host_cgroup_version() != HOST_CGROUP_V2) {
		note_no_host_limits(globals);
		return 0;
	}
	auto_free char *path = host_cgroup_path(config->cgroups_path, store->id, systemd, err);
	/* What is in it when the container goes is killed: nobody else's may ever get into the record. */
	if (!path || host_cgroup_check_free(path, err) < 0)
		return -1;
	store->cgroup_path = take_ptr(&path);
	return 0;
}

int create_cgroup_files(const struct oci_resources *resources, uint64_t beside, const struct oci_host_config *host,
			struct oci_map *files, struct err *err)
{
	int64_t limit = resources->memory.limit.value;
	/* To the host the guest's huge pages and page structures are memory like all of the VM's. */
	uint64_t reserve = oci_vm_reserve(host, (limit > 0 ? (uint64_t)limit : 0) + beside) + beside;

	return oci_resources_host_files(resources, reserve + HOST_OVERHEAD_BYTES, files, err);
}

void create_cgroup_keep_room(struct oci_map *files, uint64_t vm_bytes)
{
	const char *limit = oci_map_get(files, "memory.max");
	uint64_t least = vm_bytes + HOST_OVERHEAD_BYTES;
	char text[24];

	if (!limit || !isdigit((unsigned char)limit[0]) || strtoull(limit, NULL, 10) >= least)
		return;
	snprintf(text, sizeof text, "%" PRIu64, least);
	oci_map_set(files, "memory.max", text);
}

/* An unprivileged user has a cgroup to work in only where one was delegated. */
static bool may_do_without(const struct err *err)
{
	return geteuid() != 0 && (err->code == EACCES || err->code == EPERM || err->code == EROFS);
}

/* In the same order, which counts. */
static void pick_cpu_limit(const struct oci_map *files, struct oci_map *out)
{
	for (size_t i = 0; i < files->count; i++)
		if (strncmp(files->items[i].key, "cpu.max", 7) == 0)
			oci_map_add(out, files->items[i].key, files->items[i].value);
}

/* Set already, so that one that no kernel takes is told of before anything is made; and lifted for now. */
static int lift_cpu_limit(const char *path, const struct oci_map *limit, struct err *err)
{
	struct oci_map none = { 0 };

	if (limit->count == 0)
		return 0;
	oci_map_set(&none, "cpu.max", "max");
	int result = host_cgroup_write(path, &none, err);
	oci_map_destroy(&none);
	return result;
}

int create_cgroup_limit_cpu(const struct oci_store *store, const struct oci_map *later, struct err *err)
{
	return store->cgroup_path && later->count > 0 ? host_cgroup_write(store->cgroup_path, later, err) : 0;
}

int create_cgroup_make(const struct oci_config *config, const struct oci_host_config *host, struct oci_store *store,
		       int *fd, struct oci_map *later, struct err *err)
{
	struct oci_map files = { 0 };

	if (!store->cgroup_path)
		return 0;
	if (config->has_resources &&
	    create_cgroup_files(&config->resources, oci_vm_beside(config, host, NULL), host, &files, err) < 0) {
		oci_map_destroy(&files);
		return -1;
	}
	pick_cpu_limit(&files, later);
	*fd = host_cgroup_create(store->cgroup_path, &files, err);
	oci_map_destroy(&files);
	if (*fd >= 0)
		return lift_cpu_limit(store->cgroup_path, later, err);
	if (!may_do_without(err))
		return -1;
	log_debug("running without a host cgroup: %s", err->text);
	free(store->cgroup_path);
	store->cgroup_path = NULL;
	return 0;
}
