/* SPDX-License-Identifier: Apache-2.0 */
/*
 * neighbour.h - another container of ours, as linux.namespaces speaks of it: by /proc/PID/ns/X of its proxy. That is
 * what `--network container:ID` of an engine comes to, without a pod.
 */
#ifndef BULKHEAD_RUNTIME_NEIGHBOUR_H
#define BULKHEAD_RUNTIME_NEIGHBOUR_H

#include <stdbool.h>
#include <sys/types.h>

struct err;
struct globals;
struct oci_config;

/* The id of the container below `root` whose proxy is `pid`, to be freed; with `sandbox`, only if it is in that VM. */
char *neighbour_of_pid(const char *root, pid_t pid, const char *sandbox);

/* The id of the container below `root` whose proxy that is, to be freed. NULL: of none that is alive. */
char *neighbour_of_path(const char *root, const char *path);

/*
 * For a container in the user namespace of another: it has the same mappings, whether it joins that in the guest or, in
 * a VM of its own (`apart`), gets a new one that is like it. Nothing is done for other paths.
 */
int neighbour_take_mappings(const struct globals *globals, struct oci_config *config, bool apart, struct err *err);

#endif
