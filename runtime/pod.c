/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/pod.h"

#include "runtime/command.h"
#include "runtime/control_client.h"
#include "runtime/last_words.h"
#include "runtime/launch.h"
#include "runtime/neighbour.h"
#include "runtime/pod_memory.h"
#include "runtime/pod_shares.h"
#include "runtime/statedir.h"
#include "runtime/vm_device.h"
#include "runtime/vm_socket.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include "oci/alloc.h"
#include "oci/config.h"
#include "oci/describe.h"
#include "oci/pod.h"
#include "oci/vm_size.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- which one ---- */

/* The sandbox's proxy is in the pod's network namespace; or neither has one (Podman's pods with the host's network). */
static bool has_pods_network(const struct pod *pod, const struct oci_config *config)
{
	const struct oci_namespace *network = oci_namespaces_find(&config->namespaces, CLONE_NEWNET);
	struct stat pods, ours;
	char path[64];

	if (!network)
		return !oci_namespaces_find(&pod->sandbox_config->namespaces, CLONE_NEWNET);
	snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pod->sandbox.store->pid);
	return network->path && stat(path, &pods) == 0 && stat(network->path, &ours) == 0 &&
	       pods.st_dev == ours.st_dev && pods.st_ino == ours.st_ino;
}

/* Nothing to join, or to be joined, is there any more. */
static int check_sandbox(const struct pod *pod, const char *id, struct err *err)
{
	enum oci_status status = pod->sandbox.status;

	if (status == OCI_STATUS_CREATED || status == OCI_STATUS_RUNNING)
		return 0;
	return err_set(err, ESRCH, "the pod's sandbox %s is %s: nothing can be started in its virtual machine", id,
		       oci_status_name(status));
}

/* 1: there is none of that name, as in Podman's pods without an infra container: nothing to join. */
static int open_sandbox(struct pod *pod, const struct globals *globals, const char *id, struct err *err)
{
	if (container_open(&pod->sandbox, globals, id, false, err) < 0) {
		if (err->code != ENOENT)
			return err_wrap(err, "the pod's sandbox");
		*err = (struct err)ERR_INIT;
		return 1;
	}
	if (pod->sandbox.store->sandbox)
		return err_set(err, EINVAL, "the pod's sandbox %s is itself in the pod of %s", id,
			       pod->sandbox.store->sandbox);
	if (check_sandbox(pod, id, err) < 0)
		return -1;
	if (container_load_config(&pod->sandbox, &pod->sandbox_config, err) < 0)
		return -1;
	if (!oci_pod_may_lead(&pod->sandbox_config->annotations))
		return err_set(err, EINVAL, "container %s is not the sandbox of a pod", id);
	return 0;
}

/*
 * Without a pod: the container is to be in another's network, which is another VM's. So it is made in that VM, which is
 * like a pod's from then on.
 */
static int open_neighbour(struct pod *pod, const struct globals *globals, const struct oci_config *config,
			  struct err *err)
{
	const struct oci_namespace *network = oci_namespaces_find(&config->namespaces, CLONE_NEWNET);
	auto_free char *id = network && network->path ? neighbour_of_path(globals->root, network->path) : NULL;

	if (!id)
		return 0;
	if (container_open(&pod->sandbox, globals, id, false, err) < 0)
		return -1;
	if (pod->sandbox.store->sandbox) { /* itself a guest there */
		auto_free char *host = oci_strdup(pod->sandbox.store->sandbox);

		container_close(&pod->sandbox);
		container_init(&pod->sandbox);
		if (container_open(&pod->sandbox, globals, host, false, err) < 0)
			return -1;
	}
	if (check_sandbox(pod, pod->sandbox.id, err) < 0 ||
	    container_load_config(&pod->sandbox, &pod->sandbox_config, err) < 0)
		return -1;
	pod->joins = has_pods_network(pod, config);
	return 0;
}

int pod_open(struct pod *pod, const struct globals *globals, const struct oci_config *config, struct err *err)
{
	struct oci_pod place;

	*pod = (struct pod){ 0 };
	container_init(&pod->sandbox);
	if (oci_pod_find(&config->annotations, &place, err) < 0)
		return -1;
	pod->is_sandbox = place.role == OCI_POD_SANDBOX;
	if (place.role == OCI_POD_NONE)
		return open_neighbour(pod, globals, config, err);
	if (place.role != OCI_POD_MEMBER)
		return 0;
	int result = open_sandbox(pod, globals, place.sandbox, err);
	if (result < 0)
		return -1;
	pod->joins = result == 0 && has_pods_network(pod, config);
	if (!pod->joins)
		log_debug("no sandbox %s, or not in its network: a virtual machine of its own", place.sandbox);
	return 0;
}

void pod_close(struct pod *pod)
{
	container_close(&pod->sandbox);
	oci_config_destroy(pod->sandbox_config);
	pod->sandbox_config = NULL;
	free(pod->found);
	pod->found = NULL;
}

/* ---- its namespaces ---- */

/* Whose proxy is that? Another member's, when an ephemeral container joins the processes of its target. */
static const char *find_by_pid(struct pod *pod, pid_t pid)
{
	if (pid == pod->sandbox.store->pid)
		return pod->sandbox.id;
	free(pod->found);
	pod->found = neighbour_of_pid(pod->sandbox.root, pid, pod->sandbox.id);
	return pod->found;
}

const char *pod_container_of_namespace(void *arg, uint32_t clone_flag, const char *path)
{
	struct pod *pod = arg;
	int pid, end = 0;

	/*
	 * CRI-O makes the pod's namespaces itself and names them by path, for the sandbox and for each member. The
	 * sandbox has them made in the guest in their place.
	 */
	if (pod->is_sandbox)
		return clone_flag == CLONE_NEWUTS || clone_flag == CLONE_NEWIPC ? "" : NULL;
	if (!pod->joins)
		return NULL;
	if (sscanf(path, "/proc/%d/ns/%n", &pid, &end) == 1 && end > 0)
		return find_by_pid(pod, pid);
	const struct oci_namespace *pods = oci_namespaces_find(&pod->sandbox_config->namespaces, clone_flag);
	return pods && pods->path && strcmp(pods->path, path) == 0 ? pod->sandbox.id : NULL;
}

static int is_member(const char *id, void *arg)
{
	const struct container *sandbox = arg;
	struct oci_store *store = pod_read_store(sandbox->root, id);
	bool found = store && store->sandbox && strcmp(store->sandbox, sandbox->id) == 0;

	oci_store_destroy(store);
	return found ? 1 : 0;
}

bool pod_has_members(const struct container *sandbox)
{
	struct err ignored = ERR_INIT;

	return statedir_each(sandbox->root, is_member, (void *)(size_t)sandbox, &ignored) > 0;
}

/* ---- joining ---- */

static int link_file(const struct pod *pod, int dirfd, const char *name, struct err *err)
{
	if (linkat(pod->sandbox.dirfd, name, dirfd, name, 0) < 0)
		return err_set_errno(err, "the pod's sandbox %s: %s", pod->sandbox.id, name);
	return 0;
}

static int add_shares(int dirfd, const struct launch *launch, const struct oci_shares *shares, struct err *err)
{
	for (size_t i = 0; i < shares->count; i++) {
		const struct oci_share *share = &shares->items[i];
		bool readonly = share->readonly || share->readonly_recursive;

		if (control_add_share(dirfd, share->name, launch->shares[i].fd, readonly, err) == 0)
			continue;
		if (err->code != EEXIST)
			return err_wrap(err, "%s", share->path ? share->path : share->name);
		*err = (struct err)ERR_INIT; /* another member mounts the same */
	}
	return 0;
}

/* What another member has already is in use as it is. */
static int add_disks(int dirfd, const struct launch *launch, struct err *err)
{
	for (size_t i = 0; i < launch->disk_count; i++) {
		const struct disk *disk = &launch->disks[i];
		struct vmm_place place;

		if (control_add_disk(dirfd, disk->id, disk->fd, disk->packed, &place, err) < 0) {
			if (err->code != EEXIST)
				return -1;
			*err = (struct err)ERR_INIT;
			if (control_find_disk(dirfd, disk->id, &place, err) < 0)
				return -1;
		}
		if (vm_device_add(dirfd, &place, false, err) < 0)
			return err_wrap(err, "disk %s", disk->id);
	}
	return 0;
}

int pod_join(struct pod *pod, const struct container *member, const struct launch *launch,
	     const struct oci_shares *shares, const struct oci_config *config, const struct oci_host_config *host,
	     struct err *err)
{
	static const char *const links[] = { VM_SOCKET_VSOCK, VM_SOCKET_CONTROL, STATEDIR_END };
	const struct container *sandbox = &pod->sandbox;
	int dirfd = member->dirfd;

	if (statedir_lock(sandbox->dirfd, sandbox->id, err) < 0)
		return -1;
	int result = 0;
	if (!statedir_is_current(sandbox->root, sandbox->id, sandbox->dirfd))
		result = err_set(err, ESRCH, "the pod's sandbox %s was deleted meanwhile", sandbox->id);
	struct oci_store *now = result == 0 ? pod_read_store(sandbox->root, sandbox->id) : NULL;
	if (result == 0 && (!now || now->is_paused))
		result = err_set(err, EBUSY, "container %s is paused: nothing can be started in its virtual machine",
				 sandbox->id);
	oci_store_destroy(now);
	/* One that did not know what it would be has no last words yet, and will say none. */
	if (result == 0 && !last_words_exist(sandbox->dirfd))
		result = last_words_make(sandbox->dirfd, err);
	for (size_t i = 0; i < sizeof links / sizeof *links && result == 0; i++)
		result = link_file(pod, dirfd, links[i], err);
	if (result == 0)
		result = add_shares(dirfd, launch, shares, err);
	if (result == 0)
		result = add_disks(dirfd, launch, err);
	if (result == 0)
		pod_memory_join(&(struct pod_member){ .root = sandbox->root,
						      .sandbox = sandbox->id,
						      .id = member->id,
						      .dirfd = dirfd,
						      .limit = oci_memory_limit(&config->resources) +
							       oci_huge_pages(&config->resources) },
				host);
	flock(sandbox->dirfd, LOCK_UN);
	return result;
}
