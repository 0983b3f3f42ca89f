/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/neighbour.h"

#include "runtime/command.h"
#include "runtime/container.h"
#include "runtime/pod_shares.h"
#include "runtime/statedir.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include "oci/alloc.h"
#include "oci/config.h"
#include "oci/idmap.h"
#include "oci/state.h"
#include "oci/store.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct search {
	const char *root, *sandbox;
	pid_t pid;
	char *found;
};

static int compare(const char *id, void *arg)
{
	struct search *search = arg;
	struct oci_store *store = pod_read_store(search->root, id);

	if (store && store->pid == search->pid && oci_pid_start(store->pid) == store->pid_start &&
	    (!search->sandbox || (store->sandbox && strcmp(store->sandbox, search->sandbox) == 0)))
		search->found = oci_strdup(id);
	oci_store_destroy(store);
	return search->found ? 1 : 0;
}

char *neighbour_of_pid(const char *root, pid_t pid, const char *sandbox)
{
	struct search search = { .root = root, .sandbox = sandbox, .pid = pid };
	struct err ignored = ERR_INIT;

	statedir_each(root, compare, &search, &ignored);
	return search.found;
}

char *neighbour_of_path(const char *root, const char *path)
{
	int pid, end = 0;

	if (sscanf(path, "/proc/%d/ns/%n", &pid, &end) != 1 || end == 0)
		return NULL;
	return neighbour_of_pid(root, pid, NULL);
}

static int copy_mappings(const struct globals *globals, const char *id, struct oci_config *config, struct err *err)
{
	struct oci_config *other = NULL;
	struct container container;

	container_init(&container);
	int result = container_open(&container, globals, id, false, err);
	if (result == 0)
		result = container_load_config(&container, &other, err);
	if (result == 0 && !config->uid_mappings.count && !config->gid_mappings.count) {
		oci_id_mappings_copy(&config->uid_mappings, &other->uid_mappings);
		oci_id_mappings_copy(&config->gid_mappings, &other->gid_mappings);
	}
	oci_config_destroy(other);
	container_close(&container);
	return result;
}

int neighbour_take_mappings(const struct globals *globals, struct oci_config *config, bool apart, struct err *err)
{
	struct oci_namespace *user = NULL;

	for (size_t i = 0; i < config->namespaces.count; i++)
		if (config->namespaces.items[i].clone_flag == CLONE_NEWUSER)
			user = &config->namespaces.items[i];
	auto_free char *id = user && user->path ? neighbour_of_path(globals->root, user->path) : NULL;
	if (!id)
		return 0;
	if (copy_mappings(globals, id, config, err) < 0)
		return err_wrap(err, "linux.namespaces: user namespace %s", user->path);
	if (apart && config->uid_mappings.count) {
		log_debug("linux.namespaces: a user namespace like that of container %s", id);
		free(user->path);
		user->path = NULL;
	}
	return 0;
}
