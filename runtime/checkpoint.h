/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint.h - a running container's VM, saved while the container stands still.
 *
 * The container is stopped by its agent for as long as our connection to it lasts (guest-agent/suspend.h), so it goes
 * on if we are killed. The monitor does the saving, into files that have no name yet (or never get one: a fork's).
 */
#ifndef BULKHEAD_RUNTIME_CHECKPOINT_H
#define BULKHEAD_RUNTIME_CHECKPOINT_H

#include "runtime/agent_client.h"
#include "runtime/checkpoint_stats.h"
#include "runtime/container.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct oci_config;

/* In a restored container's store: the lines by which its VM knows its mounts. */
#define CHECKPOINT_SHARES "checkpoint-shares"

/* A saved VM, and what has to be the same where it continues. */
struct checkpoint {
	int memory_fd, state_fd;
	uint32_t memory_mib, vcpus;
	char file_cache[16];
	bool terminal;
	uint32_t streams; /* descriptors from 3 on that the process was given */
	bool has_notify;  /* it has a socket for sd_notify */
	char *shares;     /* checkpoint_shares; free() it */
	/* For the monitor: "strict", "changed" (files may have been) or "fork". */
	const char *mode;
	bool new_machine_id;
};

void checkpoint_init(struct checkpoint *checkpoint);
void checkpoint_close(struct checkpoint *checkpoint);

/* The share of each of the configuration's mounts: lines of "NAME DESTINATION". malloc'ed; NULL with the error set. */
char *checkpoint_shares(const struct oci_config *config, const char *id, struct err *err);

/*
 * A share's name has its mount's place in it, and Podman writes the binds of one container in another order each time
 * it writes them: puts each mount where these lines have its destination, as far as it is found.
 */
void checkpoint_order_mounts(const char *shares, struct oci_config *config);

/* Whether those of a bundle are the same. */
int checkpoint_shares_fit(const struct checkpoint *checkpoint, const char *shares, struct err *err);

/* Whether a container of this configuration can continue from it. */
int checkpoint_fits(const struct checkpoint *checkpoint, const struct oci_config *config, const char *shares,
		    int preserved_fds, struct err *err);

struct checkpointing {
	struct container *container;
	struct agent_client agent;
	bool is_suspended, was_paused;
	uint64_t began_us; /* checkpoint_stats_now() */
	struct checkpoint_stats stats;
};

/*
 * Fills in everything but the descriptors, which are two empty files. The container stands still until one of the
 * following, which accept it half done.
 */
int checkpoint_take(struct checkpointing *work, struct container *container, struct checkpoint *out, struct err *err);
void checkpoint_release(struct checkpointing *work);
/* Ends the container's processes, which never run again, and waits for its proxy. To be released if it fails. */
int checkpoint_stop(struct checkpointing *work, struct err *err);

#endif
