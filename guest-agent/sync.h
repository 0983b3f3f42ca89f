/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync.h - the conversation between the agent and a child that is becoming a container's process.
 *
 *     agent                         child
 *       │── SYNC_GO ──────────────────►│   its id mappings are written, it is in its cgroup
 *       │                              │   builds the container, finds the program, takes on its user
 *       │◄───────────── SYNC_READY ────│   the terminal's master comes along, if there is a terminal
 *       │── SYNC_START ───────────────►│   hooks, seccomp filter, exec
 *       │◄─────── end of file ─────────│   the exec succeeded: the socket is close-on-exec
 *
 * Instead of READY or the end of file, SYNC_FAILED may come, with the reason. A pair of SOCK_SEQPACKET sockets. Until
 * its exec the child runs our code and holds nobody's secrets, so the agent believes what it reads, but checks lengths.
 */
#ifndef BULKHEAD_AGENT_SYNC_H
#define BULKHEAD_AGENT_SYNC_H

#include "common/err.h"

#include <stdint.h>

enum sync_kind { SYNC_GO = 1, SYNC_READY = 2, SYNC_START = 3, SYNC_FAILED = 4 };

struct sync_message {
	uint32_t kind;
	struct err err; /* with SYNC_FAILED */
};

/* Agent end first. Both close-on-exec; the agent's does not block. 0, or -1 with errno. */
int sync_create(int fds[2]);

/* `err` may be NULL, `fd` -1. 0, or -1 with errno. */
int sync_send(int socket, enum sync_kind kind, const struct err *err, int fd);

/*
 * 1: a message, with its descriptor in *fd or -1 there. 0: end of file. -1 with errno, EAGAIN among them.
 */
int sync_receive(int socket, struct sync_message *message, int *fd);

/* The child's side of GO and START: returns when `kind` has come, and ends the process if the agent has gone. */
void sync_await(int socket, enum sync_kind kind);

#endif
