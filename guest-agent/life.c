/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/life.h"

#include <assert.h>

static const char *const state_names[] = {
	[LIFE_CREATING] = "creating", [LIFE_CREATED] = "created", [LIFE_STARTING] = "starting",
	[LIFE_RUNNING] = "running",   [LIFE_PAUSED] = "paused",   [LIFE_SUSPENDED] = "suspended",
	[LIFE_ADOPTED] = "adopted",   [LIFE_STOPPED] = "stopped", [LIFE_DELETING] = "deleting",
};
static_assert(sizeof state_names / sizeof *state_names == LIFE_STATE_COUNT, "every state has a name");

/* A cell is a way to go on (a state, plus one, so that an empty cell is none) or the words of the refusal. */
struct cell {
	int to;
	const char *refusal;
};
#define TO(state)                 \
	{                         \
		.to = (state) + 1 \
	}
#define NO(text)                  \
	{                         \
		.refusal = (text) \
	}

static const struct cell table[LIFE_STATE_COUNT][LIFE_EVENT_COUNT] = {
	[LIFE_CREATING] = {
		[LIFE_BUILT] = TO(LIFE_CREATED),
		[LIFE_EXIT] = TO(LIFE_STOPPED),
		[LIFE_KILL] = TO(LIFE_CREATING),
		[LIFE_DELETE] = TO(LIFE_DELETING),
	},
	[LIFE_CREATED] = {
		[LIFE_START] = TO(LIFE_STARTING),
		[LIFE_EXIT] = TO(LIFE_STOPPED),
		[LIFE_EXEC] = TO(LIFE_CREATED),
		[LIFE_KILL] = TO(LIFE_CREATED),
		[LIFE_DELETE] = TO(LIFE_DELETING),
	},
	[LIFE_STARTING] = {
		[LIFE_START] = NO("cannot start an already running container"),
		[LIFE_STARTED] = TO(LIFE_RUNNING),
		[LIFE_EXIT] = TO(LIFE_STOPPED),
		[LIFE_EXEC] = TO(LIFE_STARTING),
		[LIFE_KILL] = TO(LIFE_STARTING),
		[LIFE_DELETE] = TO(LIFE_DELETING),
	},
	[LIFE_RUNNING] = {
		[LIFE_START] = NO("cannot start an already running container"),
		[LIFE_EXIT] = TO(LIFE_STOPPED),
		[LIFE_EXEC] = TO(LIFE_RUNNING),
		[LIFE_KILL] = TO(LIFE_RUNNING),
		[LIFE_FREEZE] = TO(LIFE_PAUSED),
		[LIFE_SUSPEND] = TO(LIFE_SUSPENDED),
		[LIFE_DELETE] = TO(LIFE_DELETING),
	},
	[LIFE_PAUSED] = {
		[LIFE_START] = NO("cannot start an already running container"),
		[LIFE_EXIT] = TO(LIFE_STOPPED),
		[LIFE_EXEC] = NO("cannot exec in a paused container"),
		[LIFE_KILL] = TO(LIFE_PAUSED),
		[LIFE_THAW] = TO(LIFE_RUNNING),
		[LIFE_DELETE] = TO(LIFE_DELETING),
	},
	[LIFE_SUSPENDED] = {
		[LIFE_EXIT] = TO(LIFE_STOPPED),
		[LIFE_EXEC] = NO("cannot exec in a container while it is checkpointed"),
		[LIFE_KILL] = TO(LIFE_SUSPENDED),
		[LIFE_DELETE] = TO(LIFE_DELETING),
		[LIFE_RELEASE] = TO(LIFE_RUNNING),
		[LIFE_ADOPT] = TO(LIFE_ADOPTED),
	},
	[LIFE_ADOPTED] = {
		[LIFE_START] = TO(LIFE_STARTING),
		[LIFE_EXIT] = TO(LIFE_STOPPED),
		[LIFE_EXEC] = NO("cannot exec in a container that is being restored"),
		[LIFE_KILL] = TO(LIFE_ADOPTED),
		[LIFE_DELETE] = TO(LIFE_DELETING),
	},
	[LIFE_STOPPED] = {
		[LIFE_START] = NO("cannot start a container that has stopped"),
		[LIFE_EXEC] = NO("cannot exec in a stopped container"),
		[LIFE_KILL] = NO("container not running"),
		[LIFE_FREEZE] = NO("container not running"),
		[LIFE_THAW] = NO("container not paused"),
		[LIFE_DELETE] = TO(LIFE_DELETING),
	},
	[LIFE_DELETING] = {
		[LIFE_EXIT] = TO(LIFE_DELETING),
		[LIFE_DELETE] = TO(LIFE_DELETING),
		[LIFE_KILL] = NO("container not running"),
		[LIFE_EXEC] = NO("cannot exec in a stopped container"),
	},
};

/* For the cells without words of their own. */
static const char *const refusals[] = {
	[LIFE_BUILT] = "container is already built",
	[LIFE_START] = "container cannot be started now",
	[LIFE_STARTED] = "container is not being started",
	[LIFE_EXIT] = "container has already ended",
	[LIFE_EXEC] = "cannot exec in a container that is being created",
	[LIFE_KILL] = "container not running",
	[LIFE_FREEZE] = "container not running",
	[LIFE_THAW] = "container not paused",
	[LIFE_DELETE] = "container cannot be deleted now",
	[LIFE_SUSPEND] = "container not running",
	[LIFE_RELEASE] = "container is not being checkpointed",
	[LIFE_ADOPT] = "this virtual machine is no copy that waits for its container",
};
static_assert(sizeof refusals / sizeof *refusals == LIFE_EVENT_COUNT, "every event has a refusal");

bool life_next(enum life_state state, enum life_event event, enum life_state *next, const char **refusal)
{
	const struct cell *cell = &table[state][event];

	if (cell->to) {
		*next = (enum life_state)(cell->to - 1);
		return true;
	}
	*refusal = cell->refusal ? cell->refusal : refusals[event];
	return false;
}

const char *life_state_name(enum life_state state)
{
	return state_names[state];
}
