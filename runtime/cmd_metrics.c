/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_metrics.c - the counters of VMs and containers for a monitoring system, as text (runtime/metrics.h): of those
 * named, or of all there are. A container that does not answer has fewer lines, so that one hung guest costs no scrape.
 */
#include "runtime/agent_client.h"
#include "runtime/command.h"
#include "runtime/container.h"
#include "runtime/control_client.h"
#include "runtime/metrics.h"
#include "runtime/statedir.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/proto.h"

#include "agent.pb.h"

#include <errno.h>
#include <inttypes.h>
#include <pb_decode.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { GUEST_TIMEOUT_MS = 3000 };

struct collection {
	const struct globals *globals;
	struct container *containers; /* kept open: `list` borrows their ids */
	struct metrics *list;
	size_t count;
};

/* Pages it has in memory, as bytes; 0 if it is gone. */
static uint64_t resident_bytes(const struct oci_store *store)
{
	char path[64];
	uint64_t size, resident;

	if (store->vmm_pid <= 0 || oci_pid_start(store->vmm_pid) != store->vmm_pid_start)
		return 0;
	snprintf(path, sizeof path, "/proc/%d/statm", (int)store->vmm_pid);
	auto_file FILE *file = fopen(path, "re");
	if (!file || fscanf(file, "%" SCNu64 " %" SCNu64, &size, &resident) != 2)
		return 0;
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void ask_monitor(const struct container *container, struct metrics *metrics)
{
	struct vmm_control_reply reply;
	struct err err = ERR_INIT;

	if (control_call(container->dirfd, VMM_CONTROL_STATS, &reply, &err) < 0) {
		log_debug("%s: %s", container->id, err.text);
		return;
	}
	metrics->has_vm = true;
	metrics->vm = reply.stats;
	metrics->details = reply.details;
	metrics->resident_bytes = resident_bytes(container->store);
}

static void ask_guest(const struct container *container, struct metrics *metrics)
{
	agent_ContainerRequest request = { .container = container->id };
	agent_StatsReply stats = agent_StatsReply_init_zero;
	struct agent_client agent;
	struct err err = ERR_INIT;

	if (agent_client_open(&agent, container->dirfd, GUEST_TIMEOUT_MS, &err) < 0) {
		log_debug("%s: %s", container->id, err.text);
		return;
	}
	if (agent_client_call(&agent, PROTO_STATS, agent_ContainerRequest_fields, &request, agent_StatsReply_fields,
			      &stats, GUEST_TIMEOUT_MS, &err) == 0) {
		metrics->has_guest = true;
		metrics->cpu_usage_us = stats.cpu_usage_us;
		metrics->memory_bytes = stats.memory_current;
		metrics->memory_peak_bytes = stats.memory_peak;
		metrics->oom_kills = stats.oom_kills;
		metrics->processes = stats.pids_current;
		pb_release(agent_StatsReply_fields, &stats);
	} else {
		log_debug("%s: %s", container->id, err.text);
	}
	agent_client_close(&agent);
}

static int add(struct collection *collection, const char *id, struct err *err)
{
	size_t count = collection->count;
	struct container *containers = reallocarray(collection->containers, count + 1, sizeof *containers);

	if (containers)
		collection->containers = containers;
	struct metrics *list = reallocarray(collection->list, count + 1, sizeof *list);
	if (list)
		collection->list = list;
	if (!containers || !list)
		return err_set(err, ENOMEM, "out of memory");
	if (container_open(&containers[count], collection->globals, id, false, err) < 0) {
		container_close(&containers[count]);
		return -1;
	}
	const struct container *container = &containers[count];
	list[count] = (struct metrics){ .id = container->id, .status = container->status };
	collection->count++;
	if (container->status == OCI_STATUS_STOPPED || container->status == OCI_STATUS_CREATING)
		return 0;
	if (!container->store->sandbox) /* else the VM is another's, which tells of it */
		ask_monitor(container, &list[count]);
	if (container->status != OCI_STATUS_PAUSED)
		ask_guest(container, &list[count]);
	return 0;
}

/* Of all there are, one that has just gone is not missed. */
static int add_found(const char *id, void *arg)
{
	struct err ignored = ERR_INIT;

	if (add(arg, id, &ignored) < 0)
		log_debug("%s: %s", id, ignored.text);
	return 0;
}

static int run(const struct invocation *invocation, struct err *err)
{
	struct collection collection = { .globals = invocation->globals };
	int result = 0;

	if (invocation->operand_count == 0)
		result = statedir_each(invocation->globals->root, add_found, &collection, err);
	for (int i = 0; i < invocation->operand_count && result == 0; i++)
		result = add(&collection, invocation->operands[i], err);
	if (result == 0)
		metrics_print(collection.list, collection.count, stdout);
	for (size_t i = 0; i < collection.count; i++)
		container_close(&collection.containers[i]);
	free(collection.containers);
	free(collection.list);
	return result;
}

const struct command cmd_metrics = {
	.name = "metrics",
	.operands = "[ID...]",
	.summary = "print counters of containers and their VMs for a monitoring system",
	.run = run,
	.operands_max = -1,
};
