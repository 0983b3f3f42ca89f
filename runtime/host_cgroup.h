/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_cgroup.h - the host cgroup that holds a container's proxy and monitor, and so bounds the whole VM.
 *
 * Cgroup v2. Engines read its files for statistics, and find it through /proc/PID/cgroup. On a host with v1 there is
 * none: containers run without host limits, and that is said once per boot. A cgroup is named by its path below the
 * mount ("/docker/ID").
 */
#ifndef BULKHEAD_RUNTIME_HOST_CGROUP_H
#define BULKHEAD_RUNTIME_HOST_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct oci_map;

#define HOST_CGROUP_MOUNT "/sys/fs/cgroup"

enum host_cgroup_version { HOST_CGROUP_NONE, HOST_CGROUP_V1, HOST_CGROUP_V2 };
enum host_cgroup_version host_cgroup_version(void);

/*
 * The path for a container, malloc'ed: cgroupsPath as the cgroupfs driver or, with `systemd`, as SLICE:PREFIX:NAME
 * reads it; without one a name of our own. NULL with the error set.
 */
char *host_cgroup_path(const char *cgroups_path, const char *id, bool systemd, struct err *err);

/* 0 if there is none of that path, or one without processes that is not frozen. */
int host_cgroup_check_free(const char *path, struct err *err);

/*
 * Makes it, with its parents, writes `files` into it and returns an fd of its cgroup.procs. A file whose controller
 * this host does not give us is skipped with a debug line.
 */
int host_cgroup_create(const char *path, const struct oci_map *files, struct err *err);

/*
 * An fd of cgroup.procs of one that exists; with `sub` (may be NULL), of that cgroup below it if the host has one
 * there, which *has_sub says.
 */
int host_cgroup_open(const char *path, const char *sub, bool *has_sub, struct err *err);

/* The directory of the caller's own. */
int host_cgroup_open_own(struct err *err);

/* What one of its files says, ended by a 0. -1 with errno: it has none. */
int host_cgroup_read(const char *path, const char *file, char *text, size_t size);

int host_cgroup_write(const char *path, const struct oci_map *files, struct err *err);

/* Kills what is in it, waits until it is empty and removes it with what is below it. One that is not there is fine. */
int host_cgroup_destroy(const char *path, struct err *err);

#endif
