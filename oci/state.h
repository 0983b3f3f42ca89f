/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - the state of a container as the specification shows it: for `state`, `list` and hooks.
 */
#ifndef BULKHEAD_OCI_STATE_H
#define BULKHEAD_OCI_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct oci_map;

enum oci_status {
	OCI_STATUS_CREATING,
	OCI_STATUS_CREATED,
	OCI_STATUS_RUNNING,
	OCI_STATUS_PAUSED,
	OCI_STATUS_STOPPED,
	OCI_STATUS_COUNT
};

struct oci_state {
	const char *id;
	enum oci_status status;
	pid_t pid; /* shown as 0 when stopped */
	const char *bundle;
	const char *rootfs;                /* absolute; NULL: left out */
	int64_t created_ns;                /* since 1970; 0: left out */
	const char *owner;                 /* user name; NULL: left out */
	const struct oci_map *annotations; /* NULL: none */
};

const char *oci_status_name(enum oci_status status);

/* The document, malloc'ed: on one line (hooks), or indented. */
char *oci_state_text(const struct oci_state *state, bool indented);

/* A JSON array of such documents, on one line: `list --format json`. */
char *oci_state_list_text(const struct oci_state *states, size_t count);

/*
 * The document for startContainer hooks, whose pid only the guest knows: the agent replaces %PID% (see
 * common/agent.proto). Malloc'ed.
 */
char *oci_state_guest_text(const struct oci_state *state);

/* "2024-05-06T07:08:09.123456789Z", trailing zeros of the fraction cut, as Go writes it. */
void oci_time_text(int64_t ns, char out[40]);

/* [A-Za-z0-9_.+-]+, not "." or "..", at most 1024 bytes. */
int oci_id_check(const char *id, struct err *err);

#endif
