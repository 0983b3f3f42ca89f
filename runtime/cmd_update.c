/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_update.c - new limits for a running container: exactly in the guest's cgroup, with the VM's overhead in the
 * host's. The VM's memory follows the limit, up and down, to no less than it was made with; its vCPUs stay.
 */
#include "runtime/agent_client.h"
#include "runtime/command.h"
#include "runtime/container.h"
#include "runtime/control_client.h"
#include "runtime/create_cgroup.h"
#include "runtime/host_cgroup.h"
#include "runtime/last_words.h"
#include "runtime/pod.h"
#include "runtime/pod_memory.h"
#include "runtime/vm_memory.h"

#include "common/err.h"
#include "common/log.h"
#include "common/proto.h"

#include "oci/alloc.h"
#include "oci/config.h"
#include "oci/host_config.h"
#include "oci/resources.h"
#include "oci/store.h"
#include "oci/vm_size.h"

#include "vmm/vmm_api.h"

#include "agent.pb.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct update_options {
	const char *resources;
	const char *memory, *memory_reservation, *memory_swap; /* runc takes these as text, with units */
	struct option_number cpu_period, cpu_quota, cpu_share, cpu_burst, cpu_idle, pids_limit, blkio_weight;
	const char *cpuset_cpus, *cpuset_mems;
};

#define NUMBER(name, member, help)                                                         \
	{                                                                                  \
		name, 0, OPTION_NUMBER, offsetof(struct update_options, member), "N", help \
	}
#define TEXT(name, member, value, help)                                                    \
	{                                                                                  \
		name, 0, OPTION_TEXT, offsetof(struct update_options, member), value, help \
	}

static const struct option options[] = {
	{ "resources", 'r', OPTION_TEXT, offsetof(struct update_options, resources), "FILE|-",
	  "all of it as JSON; then the other options are ignored" },
	TEXT("memory", memory, "BYTES", "memory limit; k, m, g, t as units"),
	TEXT("memory-reservation", memory_reservation, "BYTES", "what it may keep when memory is short"),
	TEXT("memory-swap", memory_swap, "BYTES", "limit of memory and swap together, -1: none"),
	NUMBER("cpu-period", cpu_period, "period of the quota, in microseconds"),
	NUMBER("cpu-quota", cpu_quota, "processor time in each period, in microseconds"),
	NUMBER("cpu-share", cpu_share, "relative weight"),
	NUMBER("cpu-burst", cpu_burst, "unused quota that may be saved up, in microseconds"),
	NUMBER("cpu-idle", cpu_idle, "1: only idle processor time"),
	TEXT("cpuset-cpus", cpuset_cpus, "LIST", "the host's CPUs to use"),
	TEXT("cpuset-mems", cpuset_mems, "LIST", "the host's memory nodes to use"),
	NUMBER("pids-limit", pids_limit, "number of processes, -1: no limit"),
	NUMBER("blkio-weight", blkio_weight, "relative weight, 10 to 1000"),
	{ "cpu-rt-period", 0, OPTION_IGNORED, 0, NULL, NULL },
	{ "cpu-rt-runtime", 0, OPTION_IGNORED, 0, NULL, NULL },
	{ "kernel-memory", 0, OPTION_IGNORED, 0, NULL, NULL },
	{ "kernel-memory-tcp", 0, OPTION_IGNORED, 0, NULL, NULL },
	{ "l3-cache-schema", 0, OPTION_IGNORED, 0, NULL, NULL },
	{ "mem-bw-schema", 0, OPTION_IGNORED, 0, NULL, NULL },
	OPTION_END,
};

/* "268435456", "256m", "-1". */
static int parse_bytes(const char *option, const char *text, struct oci_int *out, struct err *err)
{
	char *end;
	int shift = 0;

	if (!text)
		return 0;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (*end == 'k' || *end == 'K')
		shift = 10;
	else if (*end == 'm' || *end == 'M')
		shift = 20;
	else if (*end == 'g' || *end == 'G')
		shift = 30;
	else if (*end == 't' || *end == 'T')
		shift = 40;
	if (errno || end == text || end[shift ? 1 : 0] || value < -1 || value > (LLONG_MAX >> shift))
		return err_set(err, EINVAL, "--%s: \"%s\" is not a number of bytes", option, text);
	out->is_set = true;
	out->value = value < 0 ? -1 : value << shift;
	return 0;
}

static int set_uint(const char *option, const struct option_number *number, struct oci_uint *out, struct err *err)
{
	if (!number->given)
		return 0;
	if (number->value < 0)
		return err_set(err, EINVAL, "--%s: %lld is negative", option, number->value);
	out->is_set = true;
	out->value = (uint64_t)number->value;
	return 0;
}

static void set_int(const struct option_number *number, struct oci_int *out)
{
	if (!number->given)
		return;
	out->is_set = true;
	out->value = number->value;
}

static int from_options(const struct update_options *given, struct oci_resources *resources, struct err *err)
{
	if (parse_bytes("memory", given->memory, &resources->memory.limit, err) < 0 ||
	    parse_bytes("memory-reservation", given->memory_reservation, &resources->memory.reservation, err) < 0 ||
	    parse_bytes("memory-swap", given->memory_swap, &resources->memory.swap, err) < 0 ||
	    set_uint("cpu-period", &given->cpu_period, &resources->cpu.period, err) < 0 ||
	    set_uint("cpu-share", &given->cpu_share, &resources->cpu.shares, err) < 0 ||
	    set_uint("cpu-burst", &given->cpu_burst, &resources->cpu.burst, err) < 0)
		return -1;
	set_int(&given->cpu_quota, &resources->cpu.quota);
	set_int(&given->cpu_idle, &resources->cpu.idle);
	set_int(&given->pids_limit, &resources->pids);
	if (given->blkio_weight.given) {
		if (given->blkio_weight.value < 10 || given->blkio_weight.value > 1000)
			return err_set(err, EINVAL, "--blkio-weight: %lld is not between 10 and 1000",
				       given->blkio_weight.value);
		resources->block_io.weight = (uint32_t)given->blkio_weight.value;
	}
	resources->cpu.cpus = oci_strdup(given->cpuset_cpus);
	resources->cpu.mems = oci_strdup(given->cpuset_mems);
	return 0;
}

/* What cpu.max says now: the host's file, or what the container was made with where there is none of its own. */
static int current_cpu_max(const struct container *container, int64_t *quota, uint64_t *period, struct err *err)
{
	const struct oci_store *store = container->store;
	struct oci_config *config;
	char text[64], *rest;

	if (store->cgroup_path && !store->sandbox &&
	    host_cgroup_read(store->cgroup_path, "cpu.max", text, sizeof text) == 0) {
		*quota = strncmp(text, "max", 3) == 0 ? -1 : strtoll(text, NULL, 10);
		rest = strchr(text, ' ');
		*period = rest ? strtoull(rest, NULL, 10) : 0;
		return 0;
	}
	if (container_load_config(container, &config, err) < 0)
		return -1;
	*quota = config->resources.cpu.quota.value;
	*period = config->resources.cpu.period.value;
	oci_config_destroy(config);
	return 0;
}

/* Quota and period are one file of cgroup v2, but two settings: the one that is not mentioned stays as it is. */
static int keep_other_half(const struct container *container, struct oci_cpu *cpu, struct err *err)
{
	bool has_quota = cpu->quota.value != 0, has_period = cpu->period.value != 0;
	uint64_t period;
	int64_t quota;

	if (has_quota == has_period)
		return 0;
	if (current_cpu_max(container, &quota, &period, err) < 0)
		return -1;
	if (!has_quota)
		cpu->quota.value = quota;
	else
		cpu->period.value = period;
	return 0;
}

static int update_guest(const struct container *container, const struct oci_resources *resources, struct err *err)
{
	agent_UpdateRequest request = { .container = container->id };
	struct oci_map files = { 0 };
	struct agent_client agent;
	int result = oci_resources_guest_files(resources, &files, err);

	if (result == 0 && files.count > 0) {
		request.files = oci_alloc(files.count, sizeof *request.files);
		request.files_count = (pb_size_t)files.count;
		for (size_t i = 0; i < files.count; i++) {
			request.files[i].name = files.items[i].key;
			request.files[i].value = files.items[i].value;
		}
		result = agent_client_open(&agent, container->dirfd, AGENT_TIMEOUT_MS, err);
		if (result == 0) {
			result = agent_client_call(&agent, PROTO_UPDATE, agent_UpdateRequest_fields, &request, NULL,
						   NULL, AGENT_TIMEOUT_MS, err);
			agent_client_close(&agent);
		}
		free(request.files);
	}
	oci_map_destroy(&files);
	return result;
}

/* What the VM should have, if the limit changes, and by which it grows or shrinks. */
struct machine_size {
	uint64_t has, wants; /* in bytes; the same: it stays */
	uint64_t beside;     /* the limit: see oci_vm_beside */
	bool leads;          /* others are in its VM, which is in its cgroup */
};

static int update_host(const struct container *container, const struct oci_resources *resources,
		       const struct machine_size *size, const struct oci_host_config *host, struct err *err)
{
	struct oci_map files = { 0 };

	if (!container->store->cgroup_path)
		return 0;
	int result = create_cgroup_files(resources, size->beside, host, &files, err);
	if (result == 0 && size->leads)
		create_cgroup_keep_room(&files, size->wants > size->has ? size->wants : size->has);
	if (result == 0)
		result = host_cgroup_write(container->store->cgroup_path, &files, err);
	oci_map_destroy(&files);
	return result;
}

/* ---- the VM's memory ---- */

static int find_beside(const struct container *container, const struct oci_resources *resources,
		       const struct oci_host_config *host, uint64_t *out, struct err *err)
{
	struct oci_config *config;

	if (container_load_config(container, &config, err) < 0)
		return -1;
	*out = oci_vm_beside(config, host, resources);
	oci_config_destroy(config);
	return 0;
}

static int find_size(const struct container *container, const struct oci_resources *resources,
		     const struct oci_host_config *host, struct machine_size *out, struct err *err)
{
	uint64_t limit = oci_memory_limit(resources);
	struct vmm_growth growth;

	*out = (struct machine_size){ 0 };
	if (limit == 0)
		return 0;
	if (vm_memory_get(container->dirfd, &growth, err) < 0 ||
	    find_beside(container, resources, host, &out->beside, err) < 0)
		return -1;
	limit += out->beside;
	if (growth.limit <= growth.begun)
		return 0;
	out->leads = !container->store->sandbox && pod_has_members(container);
	out->has = growth.requested;
	out->wants = (uint64_t)oci_vm_memory_for(host, limit) << 20;
	if (container->store->sandbox || out->leads) {
		const char *sandbox = container->store->sandbox;
		const struct pod_member member = { .root = container->root,
						   .sandbox = sandbox ? sandbox : container->id,
						   .id = container->id,
						   .dirfd = container->dirfd,
						   .limit = limit };

		if (pod_memory_need(&member, host, &out->wants, err) < 0)
			return -1;
	}
	if (out->wants < growth.begun)
		out->wants = growth.begun;
	return 0;
}

/*
 * The host's limit is above what the VM has at every moment, or the host would kill it. So what grows grows from the
 * outside, and what shrinks from the inside; the guest refuses a limit below what the container uses, and then nothing
 * has changed.
 */
static int update_all(const struct container *container, const struct oci_resources *resources,
		      const struct oci_host_config *host, struct err *err)
{
	struct machine_size size;

	if (find_size(container, resources, host, &size, err) < 0)
		return -1;
	if (size.wants > size.has)
		return update_host(container, resources, &size, host, err) < 0 ||
				       vm_memory_set(container->dirfd, size.wants, true, err) < 0
			       ? -1
			       : update_guest(container, resources, err);
	if (update_guest(container, resources, err) < 0)
		return -1;
	if (size.wants < size.has && vm_memory_set(container->dirfd, size.wants, true, err) < 0)
		return -1;
	return update_host(container, resources, &size, host, err);
}

/*
 * A paused VM goes on for as long as this takes, since its guest has to do it; one container among several is frozen by
 * that guest (cmd_pause.c), which answers anyway.
 */
static int update_container(const struct container *container, const struct oci_resources *resources,
			    const struct oci_host_config *host, struct err *err)
{
	struct err why = ERR_INIT;

	if (!container->store->is_paused || last_words_exist(container->dirfd))
		return update_all(container, resources, host, err);
	if (control_call(container->dirfd, VMM_CONTROL_RESUME, NULL, err) < 0)
		return -1;
	int result = update_all(container, resources, host, err);
	if (control_call(container->dirfd, VMM_CONTROL_PAUSE, NULL, &why) < 0)
		log_warn("container %s is not paused any more: %s", container->id, why.text);
	return result;
}

static int run(const struct invocation *invocation, struct err *err)
{
	const struct update_options *given = invocation->options;
	struct oci_resources *resources = NULL;
	struct oci_host_config *host = NULL;
	struct container container;
	int result;

	container_init(&container);
	if (given->resources) {
		result = oci_resources_load(given->resources, &resources, err);
	} else {
		resources = oci_alloc(1, sizeof *resources);
		result = from_options(given, resources, err);
	}
	if (result == 0)
		result = container_open_for(&container, invocation->globals, invocation->operands[0], LIFECYCLE_UPDATE,
					    err);
	if (result == 0)
		result = keep_other_half(&container, &resources->cpu, err);
	if (result == 0)
		result = oci_host_config_load(OCI_HOST_CONFIG_FILE, &host, err);
	if (result == 0)
		result = update_container(&container, resources, host, err);
	oci_host_config_destroy(host);
	container_close(&container);
	oci_resources_destroy(resources);
	return result;
}

const struct command cmd_update = {
	.name = "update",
	.operands = "ID",
	.summary = "change a container's limits",
	.run = run,
	.options = options,
	.options_size = sizeof(struct update_options),
	.operands_min = 1,
	.operands_max = 1,
};
