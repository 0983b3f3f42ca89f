/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_pause.c - `pause` and `resume`: the whole VM stops executing and goes on. The guest does not know; its memory and
 * devices stay as they are. One container among several in a VM, the pod's sandbox included, is frozen by the guest's
 * kernel instead.
 */
#include "runtime/agent_client.h"
#include "runtime/command.h"
#include "runtime/container.h"
#include "runtime/control_client.h"
#include "runtime/last_words.h"

#include "common/proto.h"

#include "agent.pb.h"

static int freeze(const struct container *container, bool frozen, struct err *err)
{
	agent_FreezeRequest request = { .container = container->id, .frozen = frozen };
	struct agent_client agent;

	if (agent_client_open(&agent, container->dirfd, AGENT_TIMEOUT_MS, err) < 0)
		return -1;
	int result = agent_client_call(&agent, PROTO_FREEZE, agent_FreezeRequest_fields, &request, NULL, NULL,
				       AGENT_TIMEOUT_MS, err);
	agent_client_close(&agent);
	return result;
}

static int change(const struct invocation *invocation, enum lifecycle_event event, struct err *err)
{
	bool pause = event == LIFECYCLE_PAUSE;
	struct container container;
	int result = container_open_for(&container, invocation->globals, invocation->operands[0], event, err);

	if (result == 0 && last_words_exist(container.dirfd))
		result = freeze(&container, pause, err);
	else if (result == 0)
		result = control_call(container.dirfd, pause ? VMM_CONTROL_PAUSE : VMM_CONTROL_RESUME, NULL, err);
	if (result == 0) {
		container.store->is_paused = pause;
		result = container_save(&container, err);
	}
	container_close(&container);
	return result;
}

static int run_pause(const struct invocation *invocation, struct err *err)
{
	return change(invocation, LIFECYCLE_PAUSE, err);
}

static int run_resume(const struct invocation *invocation, struct err *err)
{
	return change(invocation, LIFECYCLE_RESUME, err);
}

const struct command cmd_pause = {
	.name = "pause",
	.operands = "ID",
	.summary = "stop a container's VM, memory and all",
	.run = run_pause,
	.operands_min = 1,
	.operands_max = 1,
};

const struct command cmd_resume = {
	.name = "resume",
	.operands = "ID",
	.summary = "let a paused container go on",
	.run = run_resume,
	.operands_min = 1,
	.operands_max = 1,
};
