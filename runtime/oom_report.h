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

/*
 * The files that it takes, opened before the proxy is confined: the directory would lead to all cgroups of the host,
 * and their cgroup.kill. -1: not there.
 */
struct oom_report {
	int current_fd, max_fd, swap_fd, group_fd;
};
#define OOM_REPORT_NONE ((struct oom_report){ -1, -1, -1, -1 })

/* Of the caller's own cgroup; all -1 if that is none with a limit of memory. */
void oom_report_open(struct oom_report *report);

/*
 * Raises oom_kill in memory.events there by one. The cgroup's limits are as before afterwards. Takes a moment, at most
 * some seconds. A cgroup that cannot be written to is left alone.
 */
void oom_report(const struct oom_report *report);

#endif
