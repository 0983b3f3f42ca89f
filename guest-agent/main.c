/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bulkhead-agent: the first process of the guest, and the only one of ours in it.
 *
 * It makes the guest a place for containers, tells the host that it is ready, and then does what the host says: it
 * builds containers (container.c, launch.c), carries their streams (stdio.c), reaps what ends (reaper.c) and at last
 * powers the machine off (power.c). It reads no configuration and decides nothing; all of that happened on the host.
 * The protocol is in docs/protocol.md.
 *
 * One thread. Nothing here waits for a container: whatever takes time is a descriptor in the loop. If the agent itself
 * cannot go on, the VM is of no use to anyone, so it ends, and the host gets the reason.
 */
#include "common/err.h"
#include "common/loop.h"
#include "common/sandbox_regs.h"
#include "guest-agent/agent.h"
#include "guest-agent/boot.h"
#include "guest-agent/limits.h"
#include "guest-agent/listener.h"
#include "guest-agent/power.h"
#include "guest-agent/reaper.h"
#include "guest-agent/template.h"
#include "guest-agent/testmode.h"

#include <signal.h>
#include <sys/prctl.h>

static int start(struct agent *agent, struct err *err)
{
	if (boot_begin(agent, err) < 0)
		return -1;
	power_stamp(agent, SANDBOX_STAMP_AGENT_START);
	agent->loop = loop_create(err);
	if (!agent->loop)
		return -1;
	if (reaper_create(agent, err) < 0)
		return -1;
	if (listener_create(agent, CONN_CONTROL, err) < 0 || listener_create(agent, CONN_STREAM, err) < 0)
		return -1;
	if (template_is_wanted() && template_prepare(agent, err) < 0)
		return -1;
	power_stamp(agent, SANDBOX_STAMP_AGENT_READY);
	return template_is_wanted() ? template_begin_again(agent, err) : 0;
}

int main(int argc, char **argv)
{
	struct agent agent = {
		.sandbox_fd = -1,
		.cgroup_fd = -1,
		.run_dir = "/run",
		.cgroup_dir = "/sys/fs/cgroup",
	};
	struct err err = ERR_INIT;

	testmode_apply(&agent, argc, argv);
	/* A peer that has gone is an error of write(2), not the end of the guest. */
	signal(SIGPIPE, SIG_IGN);
	/* Children are copies of us until they exec: nobody in a container may look into one (ptrace, /proc). */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* The streams of one process take a dozen descriptors. */
	limits_raise_own();

	if (start(&agent, &err) < 0)
		power_off_failed(&agent, &err);
	loop_run(agent.loop);
	err_set_errno(&err, "waiting for events");
	power_off_failed(&agent, &err);
}
