/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_channel.h - a connection to the agent on the event loop: CONNECT, then frames both ways.
 *
 * Frames are read whole, one at a time and never a byte more, so that a stream connection can be taken over right after
 * its reply. The bytes come from the guest: a header that makes no sense closes the channel with a reason. Sending
 * never blocks; what is queued is bounded by what we send, which is a handful of small requests and one large.
 */
#ifndef BULKHEAD_RUNTIME_PROXY_CHANNEL_H
#define BULKHEAD_RUNTIME_PROXY_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

struct channel;
struct err;
struct loop;
struct pb_msgdesc_s;
struct proto_header;

/* Each may destroy the channel. `payload` is valid during the call. */
struct channel_callbacks {
	void (*opened)(void *arg);
	void (*received)(void *arg, const struct proto_header *header, const uint8_t *payload);
	void (*closed)(void *arg, const char *why);
};

struct channel *channel_connect(struct loop *loop, int dirfd, unsigned port, const struct channel_callbacks *callbacks,
				void *arg, struct err *err);

/* The same over a connection to the vsock socket that is there already, and taken. */
struct channel *channel_open(struct loop *loop, int fd, unsigned port, const struct channel_callbacks *callbacks,
			     void *arg, struct err *err);
void channel_destroy(struct channel *channel); /* NULL is fine */

int channel_send(struct channel *channel, uint16_t type, uint32_t id, const struct pb_msgdesc_s *fields,
		 const void *message, struct err *err);

/* A payload that is encoded already, in two pieces. */
int channel_send_raw(struct channel *channel, uint16_t type, uint32_t id, const void *payload, size_t length,
		     const void *more, size_t more_length, struct err *err);

/* Reads what has arrived by now, for whoever learns in another way that the other side is gone. */
void channel_read_pending(struct channel *channel);

/* Bytes that wait for the other side to read. */
size_t channel_unsent(const struct channel *channel);

/* The fd is the caller's from here on; the channel is destroyed. */
int channel_take_fd(struct channel *channel);

#endif
