/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.h - carries bytes one way between two fds, without loss and with bounded memory.
 *
 * The buffer is fixed: a destination that does not read stops the source. End of file at the source, once everything
 * is written, closes the destination (a socket: for writing only, until the relay is destroyed). A destination that
 * refuses (EPIPE and the like) ends the direction at once and closes the source, so that the writer at the other end
 * learns it as it would from a pipe.
 *
 * The caller's fds may be shared with other processes (a shell's terminal, an engine's pipe): O_NONBLOCK is never set
 * on them. relay_open_end gives an fd of our own for the same file where that is possible.
 */
#ifndef BULKHEAD_RUNTIME_RELAY_H
#define BULKHEAD_RUNTIME_RELAY_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct loop;
struct relay;

/* The direction is over. May destroy the relay. */
typedef void relay_done(void *arg);

/*
 * Gives a non-blocking fd of our own for reading or writing the file behind `fd` (which is closed), or `fd` itself
 * where there is no such thing (sockets, regular files, pipes of another user).
 */
int relay_open_end(int fd, bool for_writing);

/* Takes both fds, also on failure. NULL with the error set. */
struct relay *relay_create(struct loop *loop, int source, int destination, relay_done *done, void *arg,
			   struct err *err);

/* Closes both ends; what is buffered is lost. NULL is fine. */
void relay_destroy(struct relay *relay);

/*
 * The writer has ended, so what is still on its way is bounded: give a pipe room for all of it. A reader that takes
 * its time then finds the rest in the pipe, as it would after a local process, and nobody waits for it.
 */
void relay_make_room(struct relay *relay);

#endif
