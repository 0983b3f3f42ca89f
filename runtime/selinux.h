/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selinux.h - process.selinuxLabel on the host: the context that the monitor runs in (sVirt), so that its policy stands
 * around it as another wall. What is in the guest knows nothing of it. No library: the kernel takes a line of text.
 */
#ifndef BULKHEAD_RUNTIME_SELINUX_H
#define BULKHEAD_RUNTIME_SELINUX_H

#include <stdbool.h>

struct err;

#define SELINUX_EXEC_FILE "/proc/thread-self/attr/exec"

/* Whether this host has it on. */
bool selinux_is_on(void);

/*
 * The monitor's context for a container's, to be freed: user, role and level are the container's, the type
 * "container_t", which engines give to each of them and which may not use /dev/kvm, becomes "container_kvm_t", the
 * policy's own for VMs. NULL with the error set: `label` is no context.
 */
char *selinux_monitor_label(const char *label, struct err *err);

/* The next program that this thread executes runs in that context. `file` is SELINUX_EXEC_FILE, but for tests. */
int selinux_set_exec(const char *file, const char *label, struct err *err);

#endif
