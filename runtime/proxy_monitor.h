/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_monitor.h - the monitor as the proxy's child: started, listened to, outlived.
 *
 * The monitor dies with the proxy. Of the descriptors it was given the proxy keeps none.
 */
#ifndef BULKHEAD_RUNTIME_PROXY_MONITOR_H
#define BULKHEAD_RUNTIME_PROXY_MONITOR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct loop;
struct monitor;

struct monitor_callbacks {
	void (*stamped)(void *arg, uint32_t stamp, uint64_t ns);
	void (*ended)(void *arg); /* reaped; monitor_reason says why */
};

/*
 * `arguments` begin with the program and end with NULL. Closes every descriptor above 2 that is not in `keep`; so it
 * runs before anything else is opened. The monitor gets none of `keep` but `shared_fd` (the log), which may be -1. It
 * runs in the SELinux context `label`, if that is not NULL.
 */
struct monitor *monitor_start(char **arguments, const int *keep, size_t keep_count, int shared_fd, const char *label,
			      struct err *err);

int monitor_watch(struct monitor *monitor, struct loop *loop, const struct monitor_callbacks *callbacks, void *arg,
		  struct err *err);

pid_t monitor_pid(const struct monitor *monitor);

/* How far the start came, for an error message. */
const char *monitor_stage(const struct monitor *monitor);

/* Asks it to end; before the guest is ready it logs where that stands. */
void monitor_terminate(struct monitor *monitor);
void monitor_kill(struct monitor *monitor);

/* One line: what it said last (panic, error), or how it ended. Valid after `ended`. */
const char *monitor_reason(const struct monitor *monitor);

/* The errno of its last error event; 0 without one. */
int monitor_code(const struct monitor *monitor);

#endif
