/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - the private state file of a container: what the next command must know of it.
 *
 * Written whole to a temporary name beside it and renamed, mode 0600, so that a reader sees the old file or the new
 * one. It says its version; a file of a later version is refused by name, one of an earlier version is understood.
 * Locking the container's directory is the caller's business.
 */
#ifndef BULKHEAD_OCI_STORE_H
#define BULKHEAD_OCI_STORE_H

#include "oci/hooks.h"
#include "oci/state.h"
#include "oci/strings.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

enum { OCI_STORE_VERSION = 1 };

struct oci_store {
	char *id, *bundle; /* required */
	char *rootfs;      /* absolute */
	char *owner;       /* user name */
	int64_t created_ns;
	/* The proxy, which is the pid the engine knows, and the monitor; with start times, since pids are reused. 0:
	 * none. */
	pid_t pid, vmm_pid;
	uint64_t pid_start, vmm_pid_start; /* field 22 of /proc/PID/stat */
	/* How far it got. Whether it has ended is not stored: the proxy is there or it isn't. */
	bool is_created, is_started, is_paused;
	char *cgroup_path; /* on the host, absolute below the cgroup mount */
	/* Of a member of a pod: the container whose VM it is in, and its shares there, separated by commas. */
	char *sandbox, *shares;
	struct oci_map annotations;
	struct oci_hook_list poststop; /* kept, since the bundle may be gone or changed by then */
	/* What the runtime wants to remember besides, under names of its own. */
	struct oci_map extra;
};

/* `file` is in `dirfd` (AT_FDCWD is fine). */
int oci_store_write(int dirfd, const char *file, const struct oci_store *store, struct err *err);
int oci_store_read(int dirfd, const char *file, struct oci_store **out, struct err *err);
/* From memory; `name` stands for the file in errors. */
int oci_store_parse(const char *name, const char *text, size_t length, struct oci_store **out, struct err *err);
void oci_store_destroy(struct oci_store *store); /* NULL is fine */

/* `pid_is_alive`: the proxy of this store still runs (see oci_pid_start). */
enum oci_status oci_store_status(const struct oci_store *store, bool pid_is_alive);

/* The state document's view of it; borrows everything from `store`. */
struct oci_state oci_store_state(const struct oci_store *store, bool pid_is_alive);

/* Start time of a process (field 22 of /proc/PID/stat), 0 if there is none or it is a zombie. */
uint64_t oci_pid_start(pid_t pid);

#endif
