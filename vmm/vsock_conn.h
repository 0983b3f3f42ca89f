/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock_conn.h - one stream between a program on the host (a Unix socket) and one in the guest (vsock packets).
 *
 * No virtqueues and no event loop in here: packets go in and come out as a header and segments, and the owner
 * (virtio_vsock.c) is told which socket events to wait for. After every call the owner looks at `state`, `rst_owed`,
 * vsock_conn_wants_rx and vsock_conn_interest, and calls vsock_conn_tidy when it has stopped watching the socket.
 * One thread, or one lock around it all. Virtio 1.2, section 5.10.6; only the host opens connections.
 *
 *   FREE --accept--> GREETING --line--> WAITING --ready--> CONNECTING --response--> OPEN
 *                       |                  |                   |
 *                       +--host gone-------+--host gone, reset-+--> FREE
 *
 *                                   OPEN
 *          host eof, guest shuts   /    \   host gone, guest shuts
 *          down receiving         v      v  down sending
 *                            TO_HOST    TO_GUEST
 *          host gone, guest shuts \      /  host eof, guest shuts
 *          down sending            v    v   down receiving
 *                                  CLOSING  (guest told: shutdown both)
 *
 *   any of these four --guest resets, guest shuts down both (reset sent), breaks a rule (reset sent)--> DRAINING
 *   DRAINING --flushed, host gone--> FREE      CLOSING, TO_GUEST --evicted (reset sent)--> FREE
 *
 * What the guest can cause: an end to its own connection, and VSOCK_BUFFER bytes of memory for each, no more: bytes
 * for the guest are read from the socket straight into its own buffers, and bytes from it that the host program does
 * not take are held within the credit that was given. A guest that exceeds its credit, or claims to have consumed
 * more than it was sent, is reset.
 */
#ifndef BULKHEAD_VSOCK_CONN_H
#define BULKHEAD_VSOCK_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct ring;
struct vsock_header;

enum {
	/*
	 * Credit given to the guest. Measured, 16 MiB to the host, instructions of host and guest together: 64 KiB
	 * takes 18 % more, 128 KiB 6 % more, 512 KiB no less.
	 */
	VSOCK_BUFFER = 256 << 10,
	/* "CONNECT 4294967295\r\n" and some room. */
	VSOCK_LINE_MAX = 32,
};

enum vsock_state {
	VSOCK_FREE,
	VSOCK_GREETING,   /* the host program has not finished its CONNECT line */
	VSOCK_WAITING,    /* for the guest to be ready */
	VSOCK_CONNECTING, /* REQUEST sent, or about to be */
	VSOCK_OPEN,
	VSOCK_TO_GUEST, /* guest to host is over: the host program reads end of file, or does not read any more */
	VSOCK_TO_HOST,  /* host to guest is over: the guest has been told, or does not receive any more */
	VSOCK_CLOSING,  /* both are over; what is held goes to the host program, the guest's RST is awaited */
	VSOCK_DRAINING, /* the guest's end is gone; what is held goes to the host program */
	VSOCK_STATE_COUNT
};

enum vsock_event {
	/* The host program. */
	VSOCK_LINE,      /* a good CONNECT line */
	VSOCK_HOST_EOF,  /* writes no more, and all it wrote has gone to the guest */
	VSOCK_HOST_GONE, /* reads no more: closed, or broken */
	/* The device. */
	VSOCK_READY,   /* the guest can be asked now */
	VSOCK_RESET,   /* the guest has forgotten all connections */
	VSOCK_FLUSHED, /* nothing is held for the host program */
	VSOCK_EVICT,   /* the slot is needed */
	VSOCK_ABORT,   /* the guest broke a rule, or memory is short */
	/* The guest. */
	VSOCK_REQUEST,
	VSOCK_RESPONSE,
	VSOCK_RST,
	VSOCK_SHUT_SEND,    /* SHUTDOWN, its flags and those of earlier ones together */
	VSOCK_SHUT_RECEIVE, /* likewise */
	VSOCK_SHUT_BOTH,    /* likewise */
	VSOCK_DATA,
	VSOCK_CREDIT, /* CREDIT_UPDATE, CREDIT_REQUEST */
	VSOCK_EVENT_COUNT
};

struct vsock_conn {
	enum vsock_state state;
	int fd; /* -1: none */
	uint32_t host_port, guest_port;

	/* Towards the guest: bytes sent, bytes it says it consumed, size of its buffer. All counts are modulo 2^32. */
	uint32_t sent, peer_forwarded, peer_buffer;
	/* From the guest: bytes received, bytes that went on (or were dropped), and the count it last saw. */
	uint32_t received, forwarded, announced;
	uint32_t buffer;   /* credit given */
	struct ring *ring; /* received - forwarded bytes; made when first needed */

	uint8_t guest_shut; /* shutdown flags from the guest so far */
	uint8_t tell, told; /* shutdown flags for the guest: wanted, sent */
	bool request_owed;  /* packets to send, in this order */
	bool credit_owed;
	bool asked;         /* CREDIT_REQUEST sent since credit ran out */
	bool request_sent;  /* the guest knows of this connection */
	bool rst_owed;      /* taken over, and cleared, by the owner: a RST outlives its connection */
	bool host_readable; /* the last look at the socket found something, or its end */
	bool hung_up;       /* the socket is not worth watching: its end is known */
	bool writing_ended; /* SHUT_WR done */
	bool fd_done;       /* to be closed by vsock_conn_tidy */
	uint8_t line_length;
	char line[VSOCK_LINE_MAX];
	const char *abort_reason; /* why ABORT happened; the owner logs and clears it */
};

/* Takes `fd`, a connected non-blocking stream socket. The state is GREETING then. */
void vsock_conn_accept(struct vsock_conn *conn, int fd, uint32_t host_port, uint32_t buffer);

/* Events that need nothing but their name: READY, RESET, EVICT, ABORT. False: the state does not know it. */
bool vsock_conn_step(struct vsock_conn *conn, enum vsock_event event);

/* The socket has these EPOLL* events. */
void vsock_conn_socket_ready(struct vsock_conn *conn, uint32_t events);

/* EPOLL* events to wait for, or -1: do not watch. */
int vsock_conn_interest(const struct vsock_conn *conn);

/* Closes the socket if the connection has done with it. The owner must not be watching it. */
void vsock_conn_tidy(struct vsock_conn *conn);

/* Whatever the state: closes the socket, frees what is held. */
void vsock_conn_destroy(struct vsock_conn *conn);

/* A packet from the guest; `data` holds header->len bytes. Only for states with a guest's end (below). */
void vsock_conn_packet(struct vsock_conn *conn, const struct vsock_header *header, const struct iovec *data,
		       unsigned count);

/* Does the guest have an end of this connection, to which packets belong? */
bool vsock_conn_has_guest(const struct vsock_conn *conn);

/* Is there a packet for the guest? A yes may turn out to be a no. */
bool vsock_conn_wants_rx(const struct vsock_conn *conn);

/* How many bytes of data the next packet may hold. */
size_t vsock_conn_data_limit(const struct vsock_conn *conn);

/*
 * Makes the next packet: data, at most vsock_conn_data_limit bytes of it, goes into `room`, and op, flags, len and
 * credit into the header, whose other fields are the caller's. False: there is none after all.
 */
bool vsock_conn_fill(struct vsock_conn *conn, struct vsock_header *header, const struct iovec *room, unsigned count);

const char *vsock_state_name(enum vsock_state state);
const char *vsock_event_name(enum vsock_event event);

#endif
