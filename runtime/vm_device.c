/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/vm_device.h"

#include "runtime/agent_client.h"

#include "common/proto.h"

#include "vmm/vmm_api.h"

#include "agent.pb.h"

enum { REMOVE_TIMEOUT_MS = 5 * 1000 };

static int call(int dirfd, uint16_t type, const pb_msgdesc_t *fields, const void *request, int timeout_ms,
		struct err *err)
{
	struct agent_client agent;

	if (agent_client_open(&agent, dirfd, timeout_ms, err) < 0)
		return -1;
	int result = agent_client_call(&agent, type, fields, request, NULL, NULL, timeout_ms, err);
	agent_client_close(&agent);
	return result;
}

int vm_device_add(int dirfd, const struct vmm_place *place, bool memory, struct err *err)
{
	const agent_DeviceAddRequest request = { .address = place->address, .irq = place->irq, .memory = memory };

	return call(dirfd, PROTO_DEVICE_ADD, agent_DeviceAddRequest_fields, &request, AGENT_TIMEOUT_MS, err);
}

int vm_device_remove(int dirfd, const struct vmm_place *place, struct err *err)
{
	const agent_DeviceRemoveRequest request = { .address = place->address };

	return call(dirfd, PROTO_DEVICE_REMOVE, agent_DeviceRemoveRequest_fields, &request, REMOVE_TIMEOUT_MS, err);
}
