/* SPDX-License-Identifier: Apache-2.0 */
/*
 * statedir.h - ROOT/ID, the directory that is a container to all commands after `create`.
 *
 *     state.json    what oci/store.h says; the first file made, the last removed
 *     config.json   the configuration the container was created with
 *     vsock.sock    to the agent, through the monitor      control.sock  to the monitor
 *     log           what monitor and proxy had to say      exec/ID       one line for each exec: "pid start-time"
 *     end           why the VM was lost, in a pod: see runtime/last_words.h
 *
 * Mode 0700. A command that changes something holds a lock (flock on the directory), which the kernel drops if the
 * command dies. Readers take none: state.json is replaced whole.
 */
#ifndef BULKHEAD_RUNTIME_STATEDIR_H
#define BULKHEAD_RUNTIME_STATEDIR_H

#include <stdbool.h>
#include <stddef.h>

struct err;

#define STATEDIR_STATE "state.json"
#define STATEDIR_CONFIG "config.json"
#define STATEDIR_LOG "log"
#define STATEDIR_EXEC "exec"
#define STATEDIR_END "end"

/* Sets *root if it is NULL: /run/bulkhead, or $XDG_RUNTIME_DIR/bulkhead for a user who is not root. */
int statedir_default_root(const char **root, struct err *err);

/* Makes ROOT if need be and ROOT/ID, locked. Returns its fd; -1 with code EEXIST if there is one already. */
int statedir_create(const char *root, const char *id, struct err *err);

/* Returns the fd; -1 with code ENOENT and runc's wording if there is none. Waits for the lock for a bounded time. */
int statedir_open(const char *root, const char *id, bool lock, struct err *err);

/* Locks one that was opened without. It may have been removed meanwhile: see statedir_is_current. */
int statedir_lock(int dirfd, const char *id, struct err *err);

/* True if ROOT/ID is still the directory behind `dirfd`, not a later container of that name. */
bool statedir_is_current(const char *root, const char *id, int dirfd);

/* Removes everything in it, state.json last, then the directory. Carries on past failures, reports the first. */
int statedir_remove(const char *root, const char *id, int dirfd, struct err *err);

/* Calls back for each id below ROOT, in directory order. No ROOT: no ids. Stops when the callback returns non-zero. */
int statedir_each(const char *root, int (*callback)(const char *id, void *arg), void *arg, struct err *err);

/* The same for each id that matches the POSIX extended regular expression. */
int statedir_each_match(const char *root, const char *pattern, int (*callback)(const char *id, void *arg), void *arg,
			struct err *err);

#endif
