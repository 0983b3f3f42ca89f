/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lifecycle.h - what may be done to a container in which state, and what it becomes.
 *
 *               start            pause
 *   creating -> created -> running <-> paused        any of them -> stopped, when its process ends
 *                              resume                created, stopped -- delete --> gone
 *
 * The states are those of the runtime specification (and `paused`, which all engines know). The wording of refusals is
 * runc's where engines look for it.
 */
#ifndef BULKHEAD_RUNTIME_LIFECYCLE_H
#define BULKHEAD_RUNTIME_LIFECYCLE_H

#include "oci/state.h"

struct err;

enum lifecycle_event {
	LIFECYCLE_START,
	LIFECYCLE_EXEC,
	LIFECYCLE_KILL,
	LIFECYCLE_PAUSE,
	LIFECYCLE_RESUME,
	LIFECYCLE_UPDATE,
	LIFECYCLE_PS,
	LIFECYCLE_STATS,
	LIFECYCLE_DELETE,
	LIFECYCLE_CHECKPOINT,
	LIFECYCLE_EVENT_COUNT
};

/* 0, or -1 with the refusal. */
int lifecycle_check(const char *id, enum oci_status status, enum lifecycle_event event, struct err *err);

const char *lifecycle_event_name(enum lifecycle_event event);

#endif
