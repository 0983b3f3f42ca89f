/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/agent_client.h"
#include "runtime/command.h"
#include "runtime/container.h"
#include "runtime/control_client.h"
#include "runtime/last_words.h"
#include "runtime/signals.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/proto.h"

#include "agent.pb.h"

#include <errno.h>
#include <poll.h>
#include <sys/pidfd.h>

/* Then the guest is stuck, or it lies: SIGKILL goes to the VM itself. */
enum { KILL_TIMEOUT_MS = 10 * 1000, GONE_TIMEOUT_MS = 5 * 1000 };

struct kill_options {
	bool all;
};

static const struct option options[] = {
	{ "all", 'a', OPTION_FLAG, offsetof(struct kill_options, all), NULL, "every process, not only the first" },
	OPTION_END,
};

static int ask_agent(const struct container *container, int number, bool all, struct err *err)
{
	agent_KillRequest request = { .container = container->id, .signal = (uint32_t)number, .all = all };
	struct agent_client agent;

	if (agent_client_open(&agent, container->dirfd, KILL_TIMEOUT_MS, err) < 0)
		return -1;
	int result = agent_client_call(&agent, PROTO_KILL, agent_KillRequest_fields, &request, NULL, NULL,
				       KILL_TIMEOUT_MS, err);
	agent_client_close(&agent);
	return result;
}

/*
 * A paused VM answers nobody. Its proxy takes the signal for it and delivers it when it goes on. (A paused member of a
 * pod is frozen in a VM that runs.)
 */
static int kill_paused(const struct container *container, int number, struct err *err)
{
	if (number == SIGKILL)
		return control_call(container->dirfd, VMM_CONTROL_KILL, NULL, err);
	auto_fd int proxy = container_open_process(container->store->pid, container->store->pid_start);
	if (proxy < 0)
		return err_set(err, ESRCH, "container not running: %s", container->id);
	if (number == SIGSTOP)
		return 0; /* stopped it is */
	if (pidfd_send_signal(proxy, number, NULL, 0) < 0)
		return err_set_errno(err, "container %s: cannot send signal %d", container->id, number);
	return 0;
}

/*
 * One container of a pod must not take the others with it. What the guest did with the process ends with the pod; for
 * the engine it ends now.
 */
static int kill_proxy(const struct container *container, struct err *err)
{
	auto_fd int proxy = container_open_process(container->store->pid, container->store->pid_start);

	log_debug("container %s: the guest does not answer; ending its proxy", container->id);
	if (proxy < 0 || pidfd_send_signal(proxy, SIGKILL, NULL, 0) < 0)
		return err_set(err, ESRCH, "container not running: %s", container->id);
	return 0;
}

/*
 * Podman asks for the state next, and takes what still seems to run for something that cannot be killed: what went with
 * its pod's VM in this moment, whose proxy has yet to hear of it. False: it does not, and the guest has lied.
 */
static bool proxy_ends(const struct container *container)
{
	struct pollfd end = { .fd = container_open_process(container->store->pid, container->store->pid_start),
			      .events = POLLIN };
	bool ends = end.fd < 0 || !container->store->is_created || poll(&end, 1, GONE_TIMEOUT_MS) != 0;

	close_fd(&end.fd);
	return ends;
}

static int kill_running(const struct container *container, int number, bool all, struct err *err)
{
	if (ask_agent(container, number, all, err) == 0)
		return 0;
	/* The process went first, or the VM with it: engines know these words. */
	if (err->code == ESRCH || err->code == ECONNREFUSED || err->code == ECONNRESET || err->code == ENOENT) {
		if (proxy_ends(container) || number != SIGKILL)
			return err_set(err, ESRCH, "container not running: %s", container->id);
	} else if (err->code != ETIMEDOUT || number != SIGKILL)
		return -1;
	if (container->store->sandbox)
		return kill_proxy(container, err);
	log_debug("container %s: the guest does not answer; ending the VM", container->id);
	return control_call(container->dirfd, VMM_CONTROL_KILL, NULL, err);
}

static int run(const struct invocation *invocation, struct err *err)
{
	const struct kill_options *given = invocation->options;
	const char *text = invocation->operand_count > 1 ? invocation->operands[1] : "TERM";
	int number = signal_parse(text, err);
	struct container container;
	int result;

	if (number < 0)
		return -1;
	/*
	 * Without the lock: a start that hangs must be killable. The state is read whole, and a process that is gone by
	 * the time the signal arrives is reported by the agent.
	 */
	result = container_open(&container, invocation->globals, invocation->operands[0], false, err);
	if (result == 0 && container.status == OCI_STATUS_STOPPED && given->all) {
		container_close(&container);
		return 0; /* nothing is left that could get it */
	}
	if (result == 0)
		result = lifecycle_check(container.id, container.status, LIFECYCLE_KILL, err);
	if (result == 0 && container.status == OCI_STATUS_PAUSED && !last_words_exist(container.dirfd))
		result = kill_paused(&container, number, err);
	else if (result == 0)
		result = kill_running(&container, number, given->all, err);
	container_close(&container);
	return result;
}

const struct command cmd_kill = {
	.name = "kill",
	.operands = "ID [SIGNAL]",
	.summary = "send a signal (TERM by default) to a container's process",
	.run = run,
	.options = options,
	.options_size = sizeof(struct kill_options),
	.operands_min = 1,
	.operands_max = 2,
};
