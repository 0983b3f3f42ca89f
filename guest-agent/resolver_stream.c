/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/resolver_stream.h"

#include "common/auto.h"
#include "common/loop.h"
#include "common/proto.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { PREFIX = 2 };

struct resolver_stream {
	struct resolver_streams *owner;
	int fd;
	struct loop_watch *watch;
	uint32_t address;
	bool is_asking; /* not read from until the answer is written */
	uint8_t in[PREFIX + PROTO_LOOKUP_MESSAGE_MAX];
	size_t in_have;
	uint8_t *out;
	size_t out_length, out_sent;
};

static void destroy(struct resolver_stream *stream)
{
	struct resolver_streams *owner = stream->owner;
	unsigned i = 0;

	while (owner->items[i] != stream)
		i++;
	owner->count--;
	memmove(owner->items + i, owner->items + i + 1, (owner->count - i) * sizeof *owner->items);
	owner->ended(owner->arg, stream);
	loop_remove(owner->loop, stream->watch);
	close_fd(&stream->fd);
	free(stream->out);
	free(stream);
}

/* How much of the question is still to come: first its length. 0: it is whole; -1: too long, or empty. */
static ssize_t missing(const struct resolver_stream *stream)
{
	if (stream->in_have < PREFIX)
		return (ssize_t)(PREFIX - stream->in_have);
	size_t length = (size_t)stream->in[0] << 8 | stream->in[1];
	if (length == 0 || length > PROTO_LOOKUP_MESSAGE_MAX)
		return -1;
	return (ssize_t)(PREFIX + length - stream->in_have);
}

/* False: the connection is to end. */
static bool read_some(struct resolver_stream *stream)
{
	struct resolver_streams *owner = stream->owner;
	ssize_t n = recv(stream->fd, stream->in + stream->in_have, (size_t)missing(stream), MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	stream->in_have += (size_t)n;
	ssize_t left = missing(stream);
	if (left)
		return left > 0;
	stream->is_asking = true;
	loop_change(owner->loop, stream->watch, 0);
	return owner->asked(owner->arg, stream, stream->address, stream->in + PREFIX, stream->in_have - PREFIX);
}

static bool write_some(struct resolver_stream *stream)
{
	ssize_t n = send(stream->fd, stream->out + stream->out_sent, stream->out_length - stream->out_sent,
			 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return false;
	if (n > 0)
		stream->out_sent += (size_t)n;
	if (stream->out_sent < stream->out_length) {
		loop_change(stream->owner->loop, stream->watch, EPOLLOUT);
		return true;
	}
	free(stream->out);
	stream->out = NULL;
	stream->is_asking = false;
	stream->in_have = 0;
	loop_change(stream->owner->loop, stream->watch, EPOLLIN);
	return true;
}

static void stream_ready(void *arg, uint32_t events)
{
	struct resolver_stream *stream = arg;
	bool goes_on = true;

	if (stream->out)
		goes_on = write_some(stream);
	else if (stream->is_asking)
		goes_on = !(events & (EPOLLERR | EPOLLHUP)); /* it has gone before its answer came */
	else
		goes_on = read_some(stream);
	if (!goes_on)
		destroy(stream);
}

void resolver_stream_answer(struct resolver_stream *stream, const uint8_t *message, size_t length)
{
	stream->out = length ? malloc(PREFIX + length) : NULL;
	if (!stream->out) {
		destroy(stream);
		return;
	}
	stream->out[0] = (uint8_t)(length >> 8);
	stream->out[1] = (uint8_t)length;
	memcpy(stream->out + PREFIX, message, length);
	stream->out_length = PREFIX + length;
	stream->out_sent = 0;
	if (!write_some(stream))
		destroy(stream);
}

void resolver_streams_init(struct resolver_streams *streams, struct loop *loop,
			   bool (*asked)(void *, struct resolver_stream *, uint32_t, const uint8_t *, size_t),
			   void (*ended)(void *, struct resolver_stream *), void *arg)
{
	*streams = (struct resolver_streams){ .loop = loop, .asked = asked, .ended = ended, .arg = arg };
}

void resolver_streams_end(struct resolver_streams *streams)
{
	while (streams->count)
		destroy(streams->items[0]);
}

void resolver_streams_add(struct resolver_streams *streams, int fd, uint32_t address)
{
	if (streams->count == RESOLVER_STREAMS_MAX)
		destroy(streams->items[0]);
	struct resolver_stream *stream = calloc(1, sizeof *stream);
	if (stream) {
		*stream = (struct resolver_stream){ .owner = streams, .fd = fd, .address = address };
		stream->watch = loop_add_fd(streams->loop, fd, EPOLLIN, stream_ready, stream);
	}
	if (!stream || !stream->watch) {
		free(stream);
		close(fd);
		return;
	}
	streams->items[streams->count++] = stream;
}
