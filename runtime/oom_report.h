/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oom_report.h - tells engines that a container was killed for want of memory.
 *
 * They learn it from the container's cgroup on the host: its memory.events counts kills (containerd's shim, and
 * Docker through it). The kill was the guest kernel's, in a cgroup of the guest. So the proxy, when the container's
 * last output is written and the monitor has gone, has the host's kernel do in the same way with a process made for it.
 */
#ifndef BULKHEAD_RUNTIME_OOM_REPORT_H
#define BULKHEAD_RUNTIME_OOM_REPORT_H

/* The caller's own cgroup, a directory; -1 if that is no cgroup with a limit of memory. */
int oom_report_open(void);

/*
 * Raises oom_kill in memory.events there by one. The cgroup's limits are as before afterwards. Takes a moment, at most
 * some seconds. A cgroup that cannot be written to is left alone.
 */
void oom_report(int cgroup_fd);

#endif
