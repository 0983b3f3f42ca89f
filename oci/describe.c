/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/describe.h"

#include "oci/alloc.h"
#include "oci/config.h"
#include "oci/describe_devices.h"
#include "oci/describe_mounts.h"
#include "oci/messages.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include <errno.h>
#include <linux/bpf.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

static void add_namespace(agent_Container *out, uint32_t clone_flag, const char *container)
{
	out->namespaces = oci_grow(out->namespaces, out->namespaces_count, sizeof *out->namespaces);
	out->namespaces[out->namespaces_count++] =
		(agent_Namespace){ .clone_flag = clone_flag, .container = oci_strdup(container) };
}

static int describe_namespaces(const struct oci_config *config, const struct oci_describe_context *context,
			       agent_Container *out, struct err *err)
{
	for (size_t i = 0; i < config->namespaces.count; i++) {
		const struct oci_namespace *ns = &config->namespaces.items[i];
		const char *container = NULL;

		/* The VM's network is the container's: the guest needs no second one, the host makes or joins it. */
		if (ns->clone_flag == CLONE_NEWNET)
			continue;
		if (ns->path) {
			if (context->container_of_namespace)
				container = context->container_of_namespace(context->arg, ns->clone_flag, ns->path);
			if (!container)
				return err_set(
					err, ENOTSUP,
					"linux.namespaces: %s namespace %s is not of a container in this virtual "
					"machine, and a virtual machine cannot join one of the host",
					oci_namespace_name(ns->clone_flag), ns->path);
		}
		add_namespace(out, ns->clone_flag, container);
	}
	/* Mounts are never made in the agent's own tree, whatever the configuration leaves out. */
	if (!oci_namespaces_find(&config->namespaces, CLONE_NEWNS))
		add_namespace(out, CLONE_NEWNS, NULL);
	return 0;
}

/* Without a uts namespace the container sees the runtime's names, which are the host's. */
static void describe_host_names(const struct oci_config *config, agent_Container *out)
{
	struct utsname names;

	if (!oci_namespaces_find(&config->namespaces, CLONE_NEWUTS) && uname(&names) == 0) {
		out->hostname = oci_strdup(names.nodename);
		out->domainname = strcmp(names.domainname, "(none)") == 0 ? NULL : oci_strdup(names.domainname);
		return;
	}
	out->hostname = oci_strdup(config->hostname);
	out->domainname = oci_strdup(config->domainname);
}

static int describe_devices(const struct oci_config *config, const struct oci_describe_context *context,
			    agent_Container *out, struct err *err)
{
	for (size_t i = 0; i < config->devices.count; i++) {
		auto_free char *what = oci_format("linux.devices[%zu]", i);

		if (oci_describe_device(config, context->sysfs ? context->sysfs : "/sys", &config->devices.items[i],
					what, out, err) < 0)
			return -1;
	}
	return oci_describe_device_filter(config, out, err);
}

static int describe_cgroup(const struct oci_config *config, agent_Container *out, struct err *err)
{
	struct oci_map files = { 0 };
	int result = oci_resources_guest_files(&config->resources, &files, err);

	if (result == 0)
		oci_message_map(&out->cgroup_files_count, &out->cgroup_files, &files);
	oci_map_destroy(&files);
	return result;
}

static void describe_time(const struct oci_config *config, agent_Container *out)
{
	if (config->time_offset_count == 0)
		return;
	out->time_offsets = oci_alloc(config->time_offset_count, sizeof *out->time_offsets);
	for (size_t i = 0; i < config->time_offset_count; i++)
		out->time_offsets[i] = (agent_TimeOffset){
			.clock = config->time_offsets[i].clock,
			.seconds = config->time_offsets[i].seconds,
			.nanoseconds = config->time_offsets[i].nanoseconds,
		};
	out->time_offsets_count = (pb_size_t)config->time_offset_count;
}

static void describe_hooks(const struct oci_config *config, agent_Container *out)
{
	const struct oci_hook_list *list = &config->hooks.lists[OCI_HOOK_START_CONTAINER];

	if (list->count == 0)
		return;
	out->start_container_hooks = oci_alloc(list->count, sizeof *out->start_container_hooks);
	out->start_container_hooks_count = (pb_size_t)list->count;
	for (size_t i = 0; i < list->count; i++) {
		agent_Hook *hook = &out->start_container_hooks[i];

		hook->path = oci_strdup(list->items[i].path);
		oci_message_strings(&hook->args_count, &hook->args, &list->items[i].args);
		/* What the runtime's would be in the guest: the process's, as with runc. */
		oci_message_strings(&hook->env_count, &hook->env,
				    list->items[i].inherits_env ? &config->process.env : &list->items[i].env);
		hook->timeout = list->items[i].timeout;
	}
}

/* The state carries the annotations, which have no limit of their own. */
static int describe_hook_state(const struct oci_describe_context *context, agent_Container *out, struct err *err)
{
	size_t length = context->hook_state ? strlen(context->hook_state) : 0;

	if (out->start_container_hooks_count == 0)
		return 0;
	if (length > PB_SIZE_MAX)
		return err_set(
			err, E2BIG,
			"hooks.startContainer: the state they are to read has %zu bytes, at most %d are possible "
			"(long annotations?)",
			length, PB_SIZE_MAX);
	out->hook_state = oci_message_bytes(context->hook_state, length);
	return 0;
}

int oci_describe(const struct oci_config *config, const struct oci_describe_context *context, agent_CreateRequest *out,
		 struct oci_shares *shares, struct err *err)
{
	*out = (agent_CreateRequest)agent_CreateRequest_init_zero;
	*shares = (struct oci_shares){ 0 };
	agent_Container *container = &out->container;

	out->id = oci_strdup(context->id);
	out->has_container = true;
	out->has_process = true;
	describe_host_names(config, container);
	describe_time(config, container);
	describe_hooks(config, container);
	oci_message_mappings(&container->uid_mappings_count, &container->uid_mappings, &config->uid_mappings);
	oci_message_mappings(&container->gid_mappings_count, &container->gid_mappings, &config->gid_mappings);
	oci_message_map(&container->sysctls_count, &container->sysctls, &config->sysctl);
	oci_message_strings(&container->masked_paths_count, &container->masked_paths, &config->masked_paths);
	oci_message_strings(&container->readonly_paths_count, &container->readonly_paths, &config->readonly_paths);
	if (config->mount_label && config->mount_label[0])
		log_debug("linux.mountLabel: the guest has no SELinux, ignored");
	if (describe_hook_state(context, container, err) < 0 ||
	    describe_namespaces(config, context, container, err) < 0 ||
	    oci_describe_mounts(config, context, container, shares, err) < 0 ||
	    describe_devices(config, context, container, err) < 0 || describe_cgroup(config, container, err) < 0)
		return -1;
	if (oci_describe_process(config, &config->process, &out->process, err) < 0)
		return -1;
	/* execCPUAffinity is what it says: not for the container's first process. */
	free(out->process.cpu_affinity);
	out->process.cpu_affinity = NULL;
	out->process.cpu_affinity_count = 0;
	return 0;
}

void oci_shares_destroy(struct oci_shares *shares)
{
	for (size_t i = 0; i < shares->count; i++) {
		struct oci_share *share = &shares->items[i];

		free(share->path);
		oci_id_mappings_destroy(&share->uid_mappings);
		oci_id_mappings_destroy(&share->gid_mappings);
		free(share->fs_type);
		free(share->fs_options);
	}
	free(shares->items);
	*shares = (struct oci_shares){ 0 };
}
