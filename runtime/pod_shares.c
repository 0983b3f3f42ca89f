/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/pod_shares.h"

#include "runtime/agent_client.h"
#include "runtime/control_client.h"
#include "runtime/launch.h"
#include "runtime/pod.h"
#include "runtime/pod_memory.h"
#include "runtime/statedir.h"
#include "runtime/vm_device.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/fd_stat.h"
#include "common/log.h"
#include "common/proto.h"

#include "oci/alloc.h"
#include "oci/describe.h"

#include "agent.pb.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LEAVE_TIMEOUT_MS = 5 * 1000 };

struct oci_store *pod_read_store(const char *root, const char *id)
{
	struct oci_store *store = NULL;
	struct err ignored = ERR_INIT;
	auto_fd int dirfd = statedir_open(root, id, false, &ignored);

	if (dirfd < 0 || oci_store_read(dirfd, STATEDIR_STATE, &store, &ignored) < 0)
		return NULL;
	return store;
}

bool pod_shares_have(const char *list, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = list; at && *at;) {
		size_t item = strcspn(at, ",");

		if (item == length && memcmp(at, name, length) == 0)
			return true;
		at += item;
		at += *at == ',';
	}
	return false;
}

/* ---- names ---- */

/*
 * The monitor holds the share's root open, so as long as the name is in use the numbers mean the same file. Mounts that
 * lie below it are those of the first member that had it.
 */
static int name_volume(struct oci_share *share, int fd, struct err *err)
{
	struct stat st;

	if (fd_stat(fd, &st) < 0)
		return err_set_errno(err, "%s", share->path);
	unsigned kind = (share->readonly ? 1u : 0) | (share->readonly_recursive ? 2u : 0) | (share->noexec ? 4u : 0) |
			(share->noatime ? 8u : 0) | (share->recursive ? 16u : 0);
	snprintf(share->name, sizeof share->name, "v%jx-%jx-%x", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino, kind);
	return 0;
}

/* A root, and what is mounted with ids of its own or only for this container, is nobody else's. */
static bool is_private(const struct oci_share *share, size_t index)
{
	return index == 0 || !share->path || share->uid_mappings.count || share->gid_mappings.count;
}

static void rename_in(agent_Container *description, const char *from, const char *to)
{
	if (strcmp(description->root_share, from) == 0) {
		free(description->root_share);
		description->root_share = oci_strdup(to);
	}
	for (pb_size_t i = 0; i < description->mounts_count; i++) {
		agent_Mount *mount = &description->mounts[i];

		if (mount->share && strcmp(mount->source, from) == 0) {
			free(mount->source);
			mount->source = oci_strdup(to);
		}
	}
}

int pod_name_shares(const struct launch *launch, struct oci_shares *shares, agent_Container *description,
		    struct oci_store *store, struct err *err)
{
	uint64_t number;

	if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
		return err_set_errno(err, "cannot get a random number");
	for (size_t i = 0; i < shares->count; i++) {
		struct oci_share *share = &shares->items[i];
		auto_free char *before = oci_strdup(share->name);

		if (is_private(share, i))
			snprintf(share->name, sizeof share->name, "c%016" PRIx64 "-%zu", number, i);
		else if (name_volume(share, launch->shares[i].fd, err) < 0)
			return -1;
		rename_in(description, before, share->name);
		char *list = oci_format("%s%s%s", store->shares ? store->shares : "", i ? "," : "", share->name);
		free(store->shares);
		store->shares = list;
	}
	/* Disks have names that no share has, and are taken out of the VM like shares. */
	for (size_t i = 0; i < launch->disk_count; i++) {
		char *list = oci_format("%s,%s", store->shares, launch->disks[i].id);

		free(store->shares);
		store->shares = list;
	}
	return 0;
}

/* ---- leaving ---- */

struct leaving {
	const struct container *container;
	char *others; /* the lists of the other members, joined */
};

static int collect_others(const char *id, void *arg)
{
	struct leaving *leaving = arg;
	const struct container *container = leaving->container;
	struct oci_store *store = strcmp(id, container->id) == 0 ? NULL : pod_read_store(container->root, id);

	if (store && store->sandbox && store->shares && strcmp(store->sandbox, container->store->sandbox) == 0) {
		char *joined = oci_format("%s,%s", leaving->others ? leaving->others : "", store->shares);

		free(leaving->others);
		leaving->others = joined;
	}
	oci_store_destroy(store);
	return 0;
}

static bool is_disk(const char *name)
{
	return name[0] == 'b'; /* shares of a pod begin with c or v, disks as oci/describe_devices.c names them */
}

/* The guest lets go first; if it does not, the monitor takes the disk away all the same. */
static int remove_disk(int dirfd, const char *id, struct err *err)
{
	struct vmm_place place;

	if (control_find_disk(dirfd, id, &place, err) < 0)
		return -1;
	if (vm_device_remove(dirfd, &place, err) < 0)
		log_debug("disk %s: %s", id, err->text);
	*err = (struct err)ERR_INIT;
	return control_remove_disk(dirfd, id, err);
}

static void remove_shares(const struct container *container, const char *others)
{
	auto_free char *list = oci_strdup(container->store->shares);
	char *rest, *name;

	for (name = strtok_r(list, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
		struct err err = ERR_INIT;

		if (pod_shares_have(others, name))
			continue;
		int result = is_disk(name) ? remove_disk(container->dirfd, name, &err)
					   : control_remove_share(container->dirfd, name, &err);
		if (result < 0 && err.code != ENOENT)
			log_debug("container %s: %s %s: %s", container->id, is_disk(name) ? "disk" : "share", name,
				  err.text);
	}
}

/* Last, since it makes the guest look whether the shares are there still, and forget their files. */
static void delete_in_guest(const struct container *container)
{
	agent_ContainerRequest request = { .container = container->id };
	struct agent_client agent;
	struct err err = ERR_INIT;

	if (agent_client_open(&agent, container->dirfd, LEAVE_TIMEOUT_MS, &err) == 0) {
		agent_client_call(&agent, PROTO_DELETE, agent_ContainerRequest_fields, &request, NULL, NULL,
				  LEAVE_TIMEOUT_MS, &err);
		agent_client_close(&agent);
	}
	if (err.code && err.code != ENOENT && err.code != ECONNREFUSED)
		log_debug("container %s: not removed from its guest: %s", container->id, err.text);
}

void pod_leave(const struct container *container)
{
	struct leaving leaving = { .container = container };
	struct err ignored = ERR_INIT;

	if (!container->store->sandbox || !container->store->shares)
		return;
	/* Without a sandbox, and without its lock, there is no VM that anything could be left in. */
	auto_fd int lock = statedir_open(container->root, container->store->sandbox, true, &ignored);
	if (lock < 0)
		return;
	statedir_each(container->root, collect_others, &leaving, &ignored);
	remove_shares(container, leaving.others);
	close_fd(&lock);
	free(leaving.others);
	delete_in_guest(container);
	/* What it used is free now. A guest that cannot give its memory back at once waits long before it tries again.
	 */
	lock = statedir_open(container->root, container->store->sandbox, true, &ignored);
	if (lock >= 0)
		pod_memory_leave(&(struct pod_member){ .root = container->root,
						       .sandbox = container->store->sandbox,
						       .id = container->id,
						       .dirfd = container->dirfd });
}
