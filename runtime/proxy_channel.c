/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/proxy_channel.h"

#include "runtime/frame.h"
#include "runtime/vm_socket.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/loop.h"
#include "common/proto.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { GREETING_MAX = 32, FRAMES_PER_ROUND = 8 };

/* What the next bytes are. */
enum expect { EXPECT_GREETING, EXPECT_HEADER, EXPECT_PAYLOAD };

struct channel {
	struct loop *loop;
	struct loop_watch *watch;
	int fd;
	const struct channel_callbacks *callbacks;
	void *arg;
	bool *destroyed; /* set by channel_destroy for the reader on the stack */

	enum expect expect;
	size_t filled; /* of what is expected */
	char greeting[GREETING_MAX];
	uint8_t packed[PROTO_HEADER_SIZE];
	struct proto_header header;
	uint8_t *payload;

	uint8_t *out;
	size_t out_used, out_sent;
};

static void fail(struct channel *channel, const char *why)
{
	const struct channel_callbacks *callbacks = channel->callbacks;

	loop_remove(channel->loop, channel->watch);
	channel->watch = NULL;
	callbacks->closed(channel->arg, why);
}

static int arm(struct channel *channel)
{
	uint32_t events = EPOLLIN | (channel->out_used > channel->out_sent ? EPOLLOUT : 0);

	return channel->watch ? loop_change(channel->loop, channel->watch, events) : 0;
}

/* Returns -1 if the other side is gone. */
static int flush_out(struct channel *channel)
{
	while (channel->out_sent < channel->out_used) {
		ssize_t n = send(channel->fd, channel->out + channel->out_sent, channel->out_used - channel->out_sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? arm(channel) : -1;
		channel->out_sent += (size_t)n;
	}
	free(channel->out);
	channel->out = NULL;
	channel->out_used = channel->out_sent = 0;
	return arm(channel);
}

/* 1: `length` bytes are there. 0: not yet. -1: end or error. */
static int fill(struct channel *channel, void *to, size_t length)
{
	while (channel->filled < length) {
		ssize_t n = recv(channel->fd, (char *)to + channel->filled, length - channel->filled, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			return -1;
		channel->filled += (size_t)n;
	}
	channel->filled = 0;
	return 1;
}

/* One line, and not a byte more: behind it may be the answer to what was sent along with the CONNECT. */
static int read_greeting(struct channel *channel, const char **why)
{
	char *at = channel->greeting + channel->filled;
	ssize_t n = recv(channel->fd, at, sizeof channel->greeting - channel->filled, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -1;
	const char *end = memchr(at, '\n', (size_t)n);
	if (recv(channel->fd, at, end ? (size_t)(end + 1 - at) : (size_t)n, MSG_DONTWAIT) < 0)
		return -1;
	channel->filled += end ? (size_t)(end + 1 - at) : (size_t)n;
	if (channel->greeting[channel->filled - 1] != '\n' && channel->filled < sizeof channel->greeting)
		return 1;
	if (channel->filled < 4 || channel->greeting[channel->filled - 1] != '\n' ||
	    strncmp(channel->greeting, "OK ", 3) != 0) {
		*why = "the monitor's greeting makes no sense";
		return -1;
	}
	channel->filled = 0;
	channel->expect = EXPECT_HEADER;
	channel->callbacks->opened(channel->arg);
	return 1;
}

static int read_header(struct channel *channel, const char **why)
{
	int result = fill(channel, channel->packed, sizeof channel->packed);

	if (result <= 0)
		return result;
	if (!proto_unpack_header(channel->packed, &channel->header) ||
	    !proto_length_is_valid(channel->header.type, channel->header.length)) {
		*why = "the guest sent something that is no message";
		return -1;
	}
	channel->payload = malloc((size_t)channel->header.length + 1);
	if (!channel->payload) {
		*why = "out of memory";
		return -1;
	}
	channel->expect = EXPECT_PAYLOAD;
	return 1;
}

static int read_payload(struct channel *channel)
{
	int result = fill(channel, channel->payload, channel->header.length);

	if (result <= 0)
		return result;
	auto_free uint8_t *payload = take_ptr(&channel->payload);
	struct proto_header header = channel->header;

	channel->expect = EXPECT_HEADER;
	channel->callbacks->received(channel->arg, &header, payload);
	return 1;
}

static void read_some(struct channel *channel)
{
	const char *why = "the connection to the guest ended";
	bool destroyed = false;

	channel->destroyed = &destroyed; /* cppcheck-suppress autoVariables ; until this function returns */
	for (int steps = 0; steps < 2 * FRAMES_PER_ROUND; steps++) {
		int result = 0;

		switch (channel->expect) {
		case EXPECT_GREETING:
			result = read_greeting(channel, &why);
			break;
		case EXPECT_HEADER:
			result = read_header(channel, &why);
			break;
		case EXPECT_PAYLOAD:
			result = read_payload(channel);
			break;
		}
		if (destroyed)
			return;
		if (result < 0) {
			channel->destroyed = NULL;
			fail(channel, why);
			return;
		}
		if (result == 0)
			break;
	}
	channel->destroyed = NULL;
}

void channel_read_pending(struct channel *channel)
{
	if (channel->watch)
		read_some(channel);
}

static void channel_ready(void *arg, uint32_t events)
{
	struct channel *channel = arg;

	if ((events & EPOLLOUT) && flush_out(channel) < 0) {
		fail(channel, "the connection to the guest ended");
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		read_some(channel);
}

static int queue(struct channel *channel, const void *data, size_t length, struct err *err)
{
	/* A guest that always leaves something unread must not make this grow by what it did read. */
	if (channel->out_sent > channel->out_used / 2) {
		memmove(channel->out, channel->out + channel->out_sent, channel->out_used - channel->out_sent);
		channel->out_used -= channel->out_sent;
		channel->out_sent = 0;
	}

	uint8_t *grown = realloc(channel->out, channel->out_used + length + 1);

	if (!grown)
		return err_set(err, ENOMEM, "out of memory");
	if (length)
		memcpy(grown + channel->out_used, data, length);
	channel->out = grown;
	channel->out_used += length;
	return 0;
}

struct channel *channel_connect(struct loop *loop, int dirfd, unsigned port, const struct channel_callbacks *callbacks,
				void *arg, struct err *err)
{
	int fd = vm_socket_connect(dirfd, VM_SOCKET_VSOCK, SOCK_STREAM, err);

	return fd < 0 ? NULL : channel_open(loop, fd, port, callbacks, arg, err);
}

struct channel *channel_open(struct loop *loop, int fd, unsigned port, const struct channel_callbacks *callbacks,
			     void *arg, struct err *err)
{
	struct channel *channel = calloc(1, sizeof *channel);
	char line[32];

	if (!channel) {
		close(fd);
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	channel->loop = loop;
	channel->callbacks = callbacks;
	channel->arg = arg;
	channel->fd = fd;
	channel->watch = loop_add_fd(loop, channel->fd, EPOLLIN, channel_ready, channel);
	if (!channel->watch) {
		err_set_errno(err, "cannot wait for the guest");
		goto failed;
	}
	int length = snprintf(line, sizeof line, "CONNECT %u\n", port);
	if (queue(channel, line, (size_t)length, err) < 0)
		goto failed;
	if (flush_out(channel) < 0) {
		err_set(err, ECONNRESET, "the connection to the guest ended");
		goto failed;
	}
	return channel;
failed:
	channel_destroy(channel);
	return NULL;
}

void channel_destroy(struct channel *channel)
{
	if (!channel)
		return;
	if (channel->destroyed)
		*channel->destroyed = true;
	loop_remove(channel->loop, channel->watch);
	close_fd(&channel->fd);
	free(channel->payload);
	free(channel->out);
	free(channel);
}

int channel_send(struct channel *channel, uint16_t type, uint32_t id, const struct pb_msgdesc_s *fields,
		 const void *message, struct err *err)
{
	auto_free uint8_t *frame = NULL;
	size_t length;

	if (frame_encode(type, id, fields, message, &frame, &length, err) < 0 || queue(channel, frame, length, err) < 0)
		return -1;
	if (flush_out(channel) < 0)
		return err_set(err, ECONNRESET, "the connection to the guest ended");
	return 0;
}

int channel_send_raw(struct channel *channel, uint16_t type, uint32_t id, const void *payload, size_t length,
		     const void *more, size_t more_length, struct err *err)
{
	struct proto_header header = { .type = type, .id = id, .length = (uint32_t)(length + more_length) };
	uint8_t packed[PROTO_HEADER_SIZE];

	if (length + more_length > PROTO_PAYLOAD_MAX)
		return err_set(err, E2BIG, "the container's description is too large");
	proto_pack_header(packed, &header);
	if (queue(channel, packed, sizeof packed, err) < 0 || queue(channel, payload, length, err) < 0 ||
	    queue(channel, more, more_length, err) < 0)
		return -1;
	if (flush_out(channel) < 0)
		return err_set(err, ECONNRESET, "the connection to the guest ended");
	return 0;
}

size_t channel_unsent(const struct channel *channel)
{
	return channel->out_used - channel->out_sent;
}

int channel_take_fd(struct channel *channel)
{
	int fd = take_fd(&channel->fd);
	int flags = fcntl(fd, F_GETFL);

	loop_remove(channel->loop, channel->watch);
	channel->watch = NULL;
	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	channel_destroy(channel);
	return fd;
}
