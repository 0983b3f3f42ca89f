/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container.h - a container as a command finds it: its state directory, what is stored there, and whether it lives.
 */
#ifndef BULKHEAD_RUNTIME_CONTAINER_H
#define BULKHEAD_RUNTIME_CONTAINER_H

#include "runtime/lifecycle.h"

#include "oci/store.h"

#include <stdbool.h>
#include <sys/types.h>

struct err;
struct globals;
struct oci_config;

struct container {
	const char *root;
	char *id;
	int dirfd; /* of ROOT/ID; holds the lock, if there is one */
	struct oci_store *store;
	enum oci_status status;
	/* What it was created with, if this process has read it already; not owned. */
	const struct oci_config *config;
};

/* Opens and reads; with `lock` nobody else changes it meanwhile. Close it, also half open after a failure. */
int container_open(struct container *container, const struct globals *globals, const char *id, bool lock,
		   struct err *err);

/* container_open, and the state allows `event`. */
int container_open_for(struct container *container, const struct globals *globals, const char *id,
		       enum lifecycle_event event, struct err *err);

void container_init(struct container *container);
void container_close(struct container *container);

int container_save(struct container *container, struct err *err);

/* The state document, malloc'ed. `status` is what it says; NULL when out of memory. */
char *container_state_text(const struct container *container, enum oci_status status, bool indented);

/* The configuration it was created with, as text (malloc'ed) and read. */
int container_load_config_text(const struct container *container, char **text, struct err *err);
int container_load_config(const struct container *container, struct oci_config **config, struct err *err);

/* The same without reading it twice: what to destroy afterwards, or NULL, is in `loaded`. NULL with the error set. */
const struct oci_config *container_config(const struct container *container, struct oci_config **loaded,
					  struct err *err);

/* An fd of the process if it is the one that was recorded, else -1. */
int container_open_process(pid_t pid, uint64_t start);

/*
 * Kills everything of it there is and removes all traces; runs the poststop hooks. Carries on past failures and
 * reports the first. The container is gone afterwards, but for what could not be removed.
 */
int container_destroy(struct container *container, struct err *err);

/*
 * Ends a container with a running process: asks the guest to kill it, so that what it wrote gets to disk; kills the VM
 * if that takes too long.
 */
void container_stop(struct container *container);

/* Its process has been told to end: waits, kills the VM if that takes too long. */
void container_await_end(struct container *container);

#endif
