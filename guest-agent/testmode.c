/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/testmode.h"

#ifdef AGENT_TEST

#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

void testmode_apply(struct agent *agent, int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--test-socket") == 0)
			agent->run_dir = argv[i + 1];
		else if (strcmp(argv[i], "--test-cgroup") == 0)
			agent->cgroup_dir = argv[i + 1];
	}
	if (argc != 5) {
		fprintf(stderr, "usage: bulkhead-agent-test --test-socket DIR --test-cgroup DIR\n");
		exit(2);
	}
	log_setup("bulkhead-agent-test", 2, LOG_TEXT, getenv("AGENT_TEST_DEBUG") ? LOG_DEBUG : LOG_WARN);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

#else

/* An empty file is no C. */
extern int testmode_is_not_built;

#endif
