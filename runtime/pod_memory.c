/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/pod_memory.h"

#include "runtime/agent_client.h"
#include "runtime/create_cgroup.h"
#include "runtime/host_cgroup.h"
#include "runtime/pod_shares.h"
#include "runtime/statedir.h"
#include "runtime/vm_memory.h"

#include "common/err.h"
#include "common/log.h"
#include "common/proto.h"

#include "oci/host_config.h"
#include "oci/store.h"
#include "oci/vm_size.h"

#include "vmm/vmm_api.h"

#include "agent.pb.h"

#include <ctype.h>
#include <inttypes.h>
#include <pb_decode.h>
#include <string.h>

enum { STATS_TIMEOUT_MS = 5 * 1000 };

#define MIB UINT64_C(1048576)
#define LIMIT_MAX (UINT64_C(1) << 50) /* what is beyond is the guest's fancy: no sum of such wraps */

struct sum {
	const struct pod_member *member;
	struct agent_client *agent;
	uint64_t total;
};

/* One that is not there (any more, or yet) has no limit. */
static uint64_t limit_of(struct agent_client *agent, const char *id)
{
	agent_ContainerRequest request = { .container = (char *)(size_t)id };
	agent_StatsReply stats = agent_StatsReply_init_zero;
	struct err err = ERR_INIT;
	uint64_t limit;

	if (agent_client_call(agent, PROTO_STATS, agent_ContainerRequest_fields, &request, agent_StatsReply_fields,
			      &stats, STATS_TIMEOUT_MS, &err) < 0) {
		log_debug("container %s: no memory limit is known: %s", id, err.text);
		return 0;
	}
	limit = stats.memory_max < LIMIT_MAX ? stats.memory_max : 0;
	if (stats.huge_pages_max < LIMIT_MAX)
		limit += stats.huge_pages_max;
	pb_release(agent_StatsReply_fields, &stats);
	return limit;
}

static int add_limit(const char *id, void *arg)
{
	struct sum *sum = arg;
	struct oci_store *store;

	if (strcmp(id, sum->member->id) == 0)
		return 0;
	store = pod_read_store(sum->member->root, id);
	/* The sandbox of a pod has no limit; one that is joined without a pod may have. */
	if (store && strcmp(store->sandbox ? store->sandbox : id, sum->member->sandbox) == 0)
		sum->total += limit_of(sum->agent, id);
	oci_store_destroy(store);
	return 0;
}

int pod_memory_need(const struct pod_member *member, const struct oci_host_config *host, uint64_t *out, struct err *err)
{
	struct agent_client agent;
	struct sum sum = { .member = member,
			   .agent = &agent,
			   .total = member->limit < LIMIT_MAX ? member->limit : LIMIT_MAX };

	if (agent_client_open(&agent, member->dirfd, STATS_TIMEOUT_MS, err) < 0)
		return -1;
	int result = statedir_each(member->root, add_limit, &sum, err);
	agent_client_close(&agent);
	if (result < 0)
		return -1;
	*out = sum.total ? oci_vm_memory_for(host, sum.total) * MIB : 0;
	return 0;
}

/* The VM is in the cgroup of the container that it was made for, whose limit may be of that one alone. */
static int give_room(const struct pod_member *member, uint64_t vm_bytes, struct err *err)
{
	struct oci_store *store = pod_read_store(member->root, member->sandbox);
	struct oci_map files = { 0 };
	char limit[32];
	int result = 0;

	if (store && store->cgroup_path &&
	    host_cgroup_read(store->cgroup_path, "memory.max", limit, sizeof limit) == 0 &&
	    isdigit((unsigned char)limit[0])) {
		limit[strcspn(limit, "\n")] = '\0';
		oci_map_set(&files, "memory.max", limit);
		create_cgroup_keep_room(&files, vm_bytes);
		if (strcmp(oci_map_get(&files, "memory.max"), limit) != 0)
			result = host_cgroup_write(store->cgroup_path, &files, err);
	}
	oci_map_destroy(&files);
	oci_store_destroy(store);
	return result;
}

static int join(const struct pod_member *member, const struct oci_host_config *host, struct err *err)
{
	struct vmm_growth growth;
	uint64_t need;

	/* Also one without a limit: it has what the VM has. */
	if (vm_memory_get(member->dirfd, &growth, err) < 0 || give_room(member, growth.requested, err) < 0)
		return -1;
	if (!member->limit)
		return 0;
	if (pod_memory_need(member, host, &need, err) < 0)
		return -1;
	/* It cannot grow, and was made large enough for all that the engine told of. */
	if (need <= growth.requested || growth.limit <= growth.begun)
		return 0;
	log_debug("the pod's machine grows to %" PRIu64 " MiB", need / MIB);
	return give_room(member, need, err) < 0 ? -1 : vm_memory_set(member->dirfd, need, true, err);
}

void pod_memory_join(const struct pod_member *member, const struct oci_host_config *host)
{
	struct err err = ERR_INIT;

	if (join(member, host, &err) < 0)
		log_warn("container %s: the pod's virtual machine has not grown by its memory limit: %s", member->id,
			 err.text);
}

static int leave(const struct pod_member *member, struct err *err)
{
	struct oci_host_config *host;
	struct vmm_growth growth;
	uint64_t need;

	if (vm_memory_get(member->dirfd, &growth, err) < 0)
		return -1;
	if (growth.requested <= growth.begun)
		return 0;
	if (oci_host_config_load(OCI_HOST_CONFIG_FILE, &host, err) < 0)
		return -1;
	int result = pod_memory_need(member, host, &need, err);
	oci_host_config_destroy(host);
	if (result < 0 || need >= growth.requested)
		return result;
	return vm_memory_set(member->dirfd, need ? need : growth.begun, false, err);
}

void pod_memory_leave(const struct pod_member *member)
{
	struct err err = ERR_INIT;

	if (leave(member, &err) < 0)
		log_debug("container %s: the pod's virtual machine stays as large as it is: %s", member->id, err.text);
}
