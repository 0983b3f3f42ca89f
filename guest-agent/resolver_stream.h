/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver_stream.h - DNS over TCP, from programs in the guest: messages with their length before them (RFC 1035,
 * section 4.2.2), one at a time on each connection.
 *
 * A program that does not send, or does not read its answer, holds one connection, until it is the oldest of too many.
 */
#ifndef BULKHEAD_AGENT_RESOLVER_STREAM_H
#define BULKHEAD_AGENT_RESOLVER_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct resolver_stream;

enum { RESOLVER_STREAMS_MAX = 16 };

struct resolver_streams {
	struct loop *loop;
	/* A whole question. False: there is no room for it, and the connection ends. */
	bool (*asked)(void *arg, struct resolver_stream *stream, uint32_t address, const uint8_t *message,
		      size_t length);
	/* An answer to it is of no use any more. */
	void (*ended)(void *arg, struct resolver_stream *stream);
	void *arg;
	struct resolver_stream *items[RESOLVER_STREAMS_MAX]; /* the oldest first */
	unsigned count;
};

void resolver_streams_init(struct resolver_streams *streams, struct loop *loop,
			   bool (*asked)(void *, struct resolver_stream *, uint32_t, const uint8_t *, size_t),
			   void (*ended)(void *, struct resolver_stream *), void *arg);
void resolver_streams_end(struct resolver_streams *streams); /* all connections */

/* Takes `fd`, a connection to the nameserver `address`. */
void resolver_streams_add(struct resolver_streams *streams, int fd, uint32_t address);

/* To the question it asked last; empty: there is none, and the connection ends. */
void resolver_stream_answer(struct resolver_stream *stream, const uint8_t *message, size_t length);

#endif
