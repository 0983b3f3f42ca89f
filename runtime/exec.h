/* SPDX-License-Identifier: Apache-2.0 */
/* exec.h - one more process in a running container, with a proxy of its own: what `exec` and `debug` share. */
#ifndef BULKHEAD_RUNTIME_EXEC_H
#define BULKHEAD_RUNTIME_EXEC_H

#include "runtime/options.h"

#include <stdbool.h>

struct err;
struct globals;

struct exec_options {
	const char *process, *console_socket, *pid_file, *pidfd_socket, *cwd, *user, *cgroup;
	struct option_list env, additional_gids, cap;
	struct option_number preserve_fds;
	bool detach, tty, no_new_privs, ignore_paused, no_subreaper;
	bool debug; /* root with every right, in the guest's own namespaces; no option of `exec` */
};

/* The process's exit status, 0 if detached, or -1 with the error set. */
int exec_run(const struct globals *globals, const char *id, const struct exec_options *given, int count, char **args,
	     struct err *err);

#endif
