/* SPDX-License-Identifier: Apache-2.0 */
/*
 * life.h - the life of a container, as a table of state and event.
 *
 *               built           start            started
 *     CREATING ───────► CREATED ───────► STARTING ───────► RUNNING ◄──────► PAUSED
 *         │                │                 │                │   freeze/thaw  │
 *         └────────────────┴────── exit ─────┴────────────────┴────────────────┘
 *                                    ▼
 *                                 STOPPED          delete, from any state: DELETING, and then it is forgotten
 *
 *     RUNNING ◄── suspend/release ──► SUSPENDED ── adopt, in a copy of the VM ──► ADOPTED ── start ──► STARTING
 *
 * (OCI runtime specification, "State" and "Lifecycle"; CREATING, STARTING and DELETING last as long as one request.)
 * An event that is not in the table is refused, in words that engines know from runc.
 */
#ifndef BULKHEAD_AGENT_LIFE_H
#define BULKHEAD_AGENT_LIFE_H

#include <stdbool.h>

enum life_state {
	LIFE_CREATING,
	LIFE_CREATED,
	LIFE_STARTING,
	LIFE_RUNNING,
	LIFE_PAUSED,
	LIFE_SUSPENDED, /* stopped, as long as a checkpoint takes */
	LIFE_ADOPTED,   /* in a copy: stopped, until it is started */
	LIFE_STOPPED,
	LIFE_DELETING,
	LIFE_STATE_COUNT
};

enum life_event {
	LIFE_BUILT,   /* the first process is ready, just before its exec */
	LIFE_START,   /* asked to let it exec */
	LIFE_STARTED, /* it did */
	LIFE_EXIT,    /* it has ended */
	LIFE_EXEC,    /* one more process is asked for */
	LIFE_KILL,    /* a signal is asked for */
	LIFE_FREEZE,
	LIFE_THAW,
	LIFE_DELETE,
	LIFE_SUSPEND,
	LIFE_RELEASE,
	LIFE_ADOPT,
	LIFE_EVENT_COUNT
};

/*
 * The state after `event`, in *next. False: refused, *refusal says why ("cannot start an already running container").
 */
bool life_next(enum life_state state, enum life_event event, enum life_state *next, const char **refusal);

const char *life_state_name(enum life_state state);

#endif
