/* SPDX-License-Identifier: Apache-2.0 */
/*
 * terminal.h - the container's side of a terminal, made in its own devpts instance, so that `tty` finds its name.
 *
 * Called in the child that becomes the process. What lies at /dev in the container may be anything, above all for an
 * exec: the device is recognised by its number and file system, and the slave is got from the master, not by name.
 */
#ifndef BULKHEAD_AGENT_TERMINAL_H
#define BULKHEAD_AGENT_TERMINAL_H

#include "guest-agent/message.h"

struct err;

struct terminal {
	int master, slave; /* close-on-exec */
};

/* The slave belongs to the process's user and has its size. Empty descriptors on failure. */
int terminal_create(int root_fd, const agent_Process *process, struct terminal *terminal, struct err *err);

/* Makes /dev/console of the container this terminal. */
int terminal_mount_console(int root_fd, int slave, struct err *err);

/* Standard streams and controlling terminal of this process, which leads a session without one. */
int terminal_take(int slave, struct err *err);

#endif
