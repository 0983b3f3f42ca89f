/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_hooks.h - the hooks that run on the host: one after the other, each with the state on standard input.
 *
 * A hook that fails, or takes longer than its timeout (then its process group is killed), ends the list; the error
 * names the kind, the number and what the hook said last. Its output goes nowhere else.
 */
#ifndef BULKHEAD_RUNTIME_RUN_HOOKS_H
#define BULKHEAD_RUNTIME_RUN_HOOKS_H

#include "oci/hooks.h"

struct err;

/*
 * `state` is the document. `network_fd`: a network namespace to run in (the container's), -1 for the caller's.
 * `directory` is the working directory: the bundle, or the root filesystem.
 */
int run_hooks(enum oci_hook_kind kind, const struct oci_hook_list *hooks, const char *state, const char *directory,
	      int network_fd, struct err *err);

/* The same, but every hook runs and failures are only logged (poststop). */
void run_hooks_anyway(enum oci_hook_kind kind, const struct oci_hook_list *hooks, const char *state,
		      const char *bundle);

#endif
