/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create.h - from a bundle to a created container: what `create`, `run` and `do` have in common.
 *
 * Everything is checked that can be before anything is made; what is made is recorded before it is made, so that
 * `delete --force` finds it whenever this process is killed; a failure removes it again.
 */
#ifndef BULKHEAD_RUNTIME_CREATE_H
#define BULKHEAD_RUNTIME_CREATE_H

#include "runtime/command.h"
#include "runtime/container.h"
#include "runtime/terminal.h"

#include <stdbool.h>
#include <sys/types.h>

struct checkpoint;
struct err;
struct oci_config;

/* Options that create, run (and in part restore) share; each verb's struct begins with this one. */
struct create_options {
	const char *bundle, *config, *pid_file, *console_socket, *pidfd_socket;
	struct option_number preserve_fds;
	bool no_pivot, no_new_keyring, no_subreaper;
};

#define CREATE_OPTION(name, letter, kind, member, value, help)                           \
	{                                                                                \
		name, letter, kind, offsetof(struct create_options, member), value, help \
	}

#define CREATE_OPTIONS                                                                                               \
	CREATE_OPTION("bundle", 'b', OPTION_TEXT, bundle, "DIR", "the bundle (default: the current directory)"),     \
		CREATE_OPTION("config", 0, OPTION_TEXT, config, "FILE", "in the place of the bundle's config.json"), \
		CREATE_OPTION("pid-file", 0, OPTION_TEXT, pid_file, "FILE", "write the process id there"),           \
		CREATE_OPTION("console-socket", 0, OPTION_TEXT, console_socket, "SOCKET",                            \
			      "send the terminal's master there"),                                                   \
		CREATE_OPTION("pidfd-socket", 0, OPTION_TEXT, pidfd_socket, "SOCKET", "send a pidfd there"),         \
		CREATE_OPTION("preserve-fds", 0, OPTION_NUMBER, preserve_fds, "N",                                   \
			      "descriptors 3, 4, ... to pass on"),                                                   \
		CREATE_OPTION("no-pivot", 0, OPTION_FLAG, no_pivot, NULL, "accepted, means nothing in a VM"),        \
		CREATE_OPTION("no-new-keyring", 0, OPTION_FLAG, no_new_keyring, NULL,                                \
			      "accepted, means nothing in a VM"),                                                    \
		CREATE_OPTION("no-subreaper", 0, OPTION_FLAG, no_subreaper, NULL, "accepted, means nothing in a VM")

struct create_request {
	const struct globals *globals;
	const struct create_options *options;
	const char *id;
	struct oci_config *config;
	const char *config_text; /* what `config` was read from */
	bool detached;           /* nobody stays: a terminal needs --console-socket */
	bool root_overlay;       /* writes to the root are thrown away */
	/* The container continues from it; NULL: a new one. */
	const struct checkpoint *checkpoint;
};

struct created {
	struct container container;
	pid_t pid;                /* of the proxy, our child */
	int sync_fd;              /* for runtime/sync.h; close it to let the proxy go */
	struct terminal terminal; /* the master, if it was not sent away */
};

/* The configuration that the options name, and its text (malloc'ed). */
int create_load_config(const struct create_options *options, struct oci_config **config, char **text, struct err *err);

/* On success the container is locked still, and goes on reading `request->config`. On failure nothing is left. */
int create_container(const struct create_request *request, struct created *created, struct err *err);

void created_close(struct created *created);

/* Kills the proxy, reaps it and removes the container, for a failure after create_container. */
void created_destroy(struct created *created);

#endif
