/* SPDX-License-Identifier: Apache-2.0 */
/*
 * testmode.h - the agent as an ordinary process, so that its work on containers can be tested without a VM.
 *
 * Only in a build with -DAGENT_TEST: `--test-socket DIR` makes it listen on DIR/control and DIR/stream and find its
 * shares in DIR/shares, `--test-cgroup DIR` names an empty cgroup v2 directory. It does not boot and does not power
 * off. Run it as root in mount and PID namespaces of its own.
 */
#ifndef BULKHEAD_AGENT_TESTMODE_H
#define BULKHEAD_AGENT_TESTMODE_H

#include "guest-agent/agent.h"

#ifdef AGENT_TEST

void testmode_apply(struct agent *agent, int argc, char **argv);

#else

static inline void testmode_apply(struct agent *agent, int argc, char **argv)
{
	(void)agent;
	(void)argc;
	(void)argv;
}

#endif

#endif
