/* SPDX-License-Identifier: Apache-2.0 */
/*
 * paths.h - paths of a container, resolved inside its root.
 *
 * The root filesystem is the user's: any component may be a link to anywhere. The kernel resolves every path as if
 * `root_fd` were "/" (openat2, RESOLVE_IN_ROOT) and never through a magic link such as /proc/self/exe, so no name in
 * the image reaches the agent's own files. What comes back is a descriptor, which is then mounted on or written to;
 * the name is not looked up a second time.
 */
#ifndef BULKHEAD_AGENT_PATHS_H
#define BULKHEAD_AGENT_PATHS_H

#include <stdbool.h>
#include <sys/types.h>

/* Opens what is there. `flags` as for open(2), O_CLOEXEC added. -1 with errno. */
int path_open(int root_fd, const char *path, int flags);

/*
 * An O_PATH descriptor of `path`, which is made if it is missing: directories with mode 0755, the last component as a
 * directory or as an empty file. Links are followed inside the root, to names that do not exist yet too. What is there
 * already may be of either kind. -1 with errno.
 */
int path_make(int root_fd, const char *path, bool is_directory);

/*
 * An O_PATH descriptor of the directory that holds the last component of `path` (made if missing), and that component
 * in `name` (a buffer of NAME_MAX + 1). For what is created, not opened: links and device nodes.
 */
int path_make_parent(int root_fd, const char *path, char *name);

#endif
