/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn.h - a connection from the host: frames in, frames out.
 *
 * The length of a frame is checked against its type before memory is taken for it. A peer that does not read its
 * replies is not read from either. A connection frees itself when the peer has gone; requests that wait for their
 * answer are told (container_connection_closed), so nobody keeps a pointer to one that is gone.
 */
#ifndef BULKHEAD_AGENT_CONN_H
#define BULKHEAD_AGENT_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct agent;
struct conn;

enum conn_kind {
	CONN_CONTROL,  /* requests, HELLO first */
	CONN_STREAM,   /* one ATTACH, then the bytes of a stream */
	CONN_RESOLVER, /* HELLO, then look-ups from here, answers from there */
};

/* Takes the descriptor. */
void conn_create(struct agent *agent, int fd, enum conn_kind kind);

enum conn_kind conn_kind(const struct conn *conn);

/* Whether HELLO was exchanged. */
bool conn_is_greeted(const struct conn *conn);
void conn_set_greeted(struct conn *conn);

/* Sends a frame whose payload begins PROTO_HEADER_SIZE bytes into `frame`. A connection that fails closes later. */
void conn_send(struct conn *conn, uint16_t type, uint32_t id, uint8_t *frame, size_t length);

/* Ends the connection after what was sent has gone out. For a peer that does not speak the protocol. */
void conn_close_after_reply(struct conn *conn);

/* Ends the struct and gives its descriptor away, for the raw bytes of a stream; -1 if a reply is still on its way. */
int conn_take_fd(struct conn *conn);

#endif
