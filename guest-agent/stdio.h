/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdio.h - the standard streams of one process and what else it is given, and the connections they are attached to.
 *
 * Three pipes, or a terminal's master (stream 0, both ways); from stream 3 on pipes and sockets that the host preserves
 * for the process. The process may write before the host attaches: the bytes
 * wait in the pipe, and the writer waits when it is full. When the process ends, what its streams hold is still
 * delivered, and then the connections close, even if a grandchild keeps the other end of a pipe.
 */
#ifndef BULKHEAD_AGENT_STDIO_H
#define BULKHEAD_AGENT_STDIO_H

#include "common/proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct loop;
struct stdio;

/* Those a process can be given, and one that leads nowhere in it: its notifications. */
enum { STDIO_MAX = 3 + PROTO_MORE_STREAMS_MAX + 1 };

/* Empty: no pipes, no terminal. NULL when out of memory. */
struct stdio *stdio_create(struct loop *loop);
void stdio_destroy(struct stdio *io); /* closes everything, also attached connections; NULL is fine */

/*
 * Makes three pipes; the process's ends go to `out` (the caller closes them). They belong to uid and gid, so that a
 * process that is not root may open /dev/stdout.
 */
int stdio_make_pipes(struct stdio *io, unsigned uid, unsigned gid, int out[3], struct err *err);

/* Streams 3, 4, ...: a pipe, or for both ways a socket. At most PROTO_MORE_STREAMS_MAX; the process's ends as above. */
int stdio_make_more(struct stdio *io, const uint32_t *ways, size_t count, unsigned uid, unsigned gid, int *out,
		    struct err *err);

/*
 * After the others are made: what is sent to a socket at `path` becomes one more stream, of the next number
 * (guest-agent/notify.h).
 */
int stdio_add_notify(struct stdio *io, const char *path, struct err *err);

/* Takes the master of a terminal. */
void stdio_set_terminal(struct stdio *io, int master);

/* 0, or -1 with the error: no such stream, or attached before. The connection is not touched yet. */
int stdio_check_attach(const struct stdio *io, unsigned stream, struct err *err);

/* Takes the connection, after stdio_check_attach. */
void stdio_attach(struct stdio *io, unsigned stream, int connection);

/* The size of the terminal. */
int stdio_resize(struct stdio *io, unsigned rows, unsigned columns, struct err *err);

/* The process has ended: deliver what is left, then close the connections. */
void stdio_process_ended(struct stdio *io);

/*
 * For a checkpoint: what the process, which does not run, has written so far is sent, and then nothing moves until
 * stdio_resume. Waits a moment if need be.
 */
void stdio_suspend(struct stdio *io);
void stdio_resume(struct stdio *io);

/* In a copy: the connections are another life's. What they were attached to waits for others. */
void stdio_detach(struct stdio *io);

/* True while bytes are being delivered. */
bool stdio_is_busy(const struct stdio *io);

/* True when every output was attached and delivered to its end: nothing is lost by forgetting the process. */
bool stdio_is_delivered(const struct stdio *io);

#endif
