/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/lifecycle.h"

#include "common/err.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

static const char *const event_names[] = {
	[LIFECYCLE_START] = "start",   [LIFECYCLE_EXEC] = "exec",
	[LIFECYCLE_KILL] = "kill",     [LIFECYCLE_PAUSE] = "pause",
	[LIFECYCLE_RESUME] = "resume", [LIFECYCLE_UPDATE] = "update",
	[LIFECYCLE_PS] = "ps",         [LIFECYCLE_STATS] = "events",
	[LIFECYCLE_DELETE] = "delete", [LIFECYCLE_CHECKPOINT] = "checkpoint",
};
static_assert(sizeof event_names / sizeof event_names[0] == LIFECYCLE_EVENT_COUNT, "a name for every event");

/* A cell allows, or refuses in words of its own around the id; an empty one refuses in the general words. */
struct cell {
	bool allowed;
	const char *before, *after;
};

#define ALLOWED                 \
	{                       \
		.allowed = true \
	}
#define REFUSED(text_before, text_after)                       \
	{                                                      \
		.before = (text_before), .after = (text_after) \
	}

static const struct cell table[OCI_STATUS_COUNT][LIFECYCLE_EVENT_COUNT] = {
	[OCI_STATUS_CREATING] = {
		[LIFECYCLE_START] = REFUSED("cannot start container ", ": it is still being created"),
		[LIFECYCLE_KILL] = ALLOWED,
		[LIFECYCLE_DELETE] = REFUSED("cannot delete container ", " that is not stopped: creating"),
	},
	[OCI_STATUS_CREATED] = {
		[LIFECYCLE_START] = ALLOWED,
		[LIFECYCLE_EXEC] = ALLOWED,
		[LIFECYCLE_KILL] = ALLOWED,
		[LIFECYCLE_PAUSE] = ALLOWED,
		[LIFECYCLE_RESUME] = REFUSED("container not paused: ", " is created"),
		[LIFECYCLE_UPDATE] = ALLOWED,
		[LIFECYCLE_PS] = ALLOWED,
		[LIFECYCLE_STATS] = ALLOWED,
		[LIFECYCLE_DELETE] = ALLOWED,
	},
	[OCI_STATUS_RUNNING] = {
		[LIFECYCLE_START] = REFUSED("cannot start an already running container: ", ""),
		[LIFECYCLE_EXEC] = ALLOWED,
		[LIFECYCLE_KILL] = ALLOWED,
		[LIFECYCLE_PAUSE] = ALLOWED,
		[LIFECYCLE_RESUME] = REFUSED("container not paused: ", " is running"),
		[LIFECYCLE_UPDATE] = ALLOWED,
		[LIFECYCLE_PS] = ALLOWED,
		[LIFECYCLE_STATS] = ALLOWED,
		[LIFECYCLE_DELETE] = REFUSED("cannot delete container ", " that is not stopped: running"),
		[LIFECYCLE_CHECKPOINT] = ALLOWED,
	},
	[OCI_STATUS_PAUSED] = {
		[LIFECYCLE_START] = REFUSED("cannot start a paused container: ", ""),
		[LIFECYCLE_EXEC] = REFUSED("cannot exec in a paused container: ", ""),
		[LIFECYCLE_KILL] = ALLOWED,
		[LIFECYCLE_PAUSE] = REFUSED("container not running or created: ", " is paused"),
		[LIFECYCLE_RESUME] = ALLOWED,
		[LIFECYCLE_UPDATE] = ALLOWED,
		[LIFECYCLE_PS] = ALLOWED,
		[LIFECYCLE_STATS] = REFUSED("cannot ask a paused container for its events: ", ""),
		[LIFECYCLE_DELETE] = REFUSED("cannot delete container ", " that is not stopped: paused"),
		[LIFECYCLE_CHECKPOINT] = ALLOWED,
	},
	[OCI_STATUS_STOPPED] = {
		[LIFECYCLE_START] = REFUSED("cannot start a container that has stopped: ", ""),
		[LIFECYCLE_EXEC] = REFUSED("cannot exec in a stopped container: ", ""),
		[LIFECYCLE_KILL] = REFUSED("container not running: ", ""),
		[LIFECYCLE_PAUSE] = REFUSED("container not running or created: ", " is stopped"),
		[LIFECYCLE_RESUME] = REFUSED("container not paused: ", " is stopped"),
		[LIFECYCLE_UPDATE] = REFUSED("container not running: ", ""),
		[LIFECYCLE_PS] = ALLOWED, /* there are none */
		[LIFECYCLE_STATS] = REFUSED("container not running: ", ""),
		[LIFECYCLE_DELETE] = ALLOWED,
		[LIFECYCLE_CHECKPOINT] = REFUSED("container not running: ", " is stopped"),
	},
};

int lifecycle_check(const char *id, enum oci_status status, enum lifecycle_event event, struct err *err)
{
	assert(status < OCI_STATUS_COUNT && event < LIFECYCLE_EVENT_COUNT);
	const struct cell *cell = &table[status][event];

	if (cell->allowed)
		return 0;
	if (cell->before)
		return err_set(err, EINVAL, "%s%s%s", cell->before, id, cell->after);
	return err_set(err, EINVAL, "cannot %s container %s: it is %s", event_names[event], id,
		       oci_status_name(status));
}

const char *lifecycle_event_name(enum lifecycle_event event)
{
	return event < LIFECYCLE_EVENT_COUNT ? event_names[event] : "unknown";
}
