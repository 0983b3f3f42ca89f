/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/proxy_stdio.h"

#include "runtime/frame.h"
#include "runtime/notify_relay.h"
#include "runtime/preserved_fds.h"
#include "runtime/proxy_channel.h"
#include "runtime/relay.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/proto.h"

#include "agent.pb.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

enum { STREAMS_MAX = 3 + PROTO_MORE_STREAMS_MAX + 1, ATTACH_ID = 1 };

struct stream {
	struct stdio *stdio;
	unsigned number; /* as the agent knows it */
	bool takes, gives;
	int host_fd; /* until a relay takes it */
	struct channel *channel;
	struct relay *in;            /* towards the guest */
	struct relay *out;           /* from it */
	struct notify_relay *notify; /* in its place, for the service manager's socket */
	bool is_notify, opened, out_ended;
};

struct stdio {
	struct loop *loop;
	const struct stdio_callbacks *callbacks;
	void *arg;
	const char *container, *exec;
	struct stream streams[STREAMS_MAX];
	unsigned count; /* 3, or 1 with a terminal, and the preserved ones */
	unsigned attached;
	bool attaching, failed, drained, finished;
};

static void stream_failed(struct stream *stream, const char *why)
{
	struct stdio *stdio = stream->stdio;

	channel_destroy(stream->channel);
	stream->channel = NULL;
	if (stdio->failed)
		return;
	stdio->failed = true;
	stdio->callbacks->failed(stdio->arg, why);
}

bool stdio_is_drained(const struct stdio *stdio)
{
	if (stdio->attached < stdio->count)
		return false;
	for (unsigned i = 0; i < stdio->count; i++) {
		if (stdio->streams[i].gives && !stdio->streams[i].out_ended)
			return false;
	}
	return true;
}

static void check_drained(struct stdio *stdio)
{
	if (stdio->drained || !stdio_is_drained(stdio))
		return;
	stdio->drained = true;
	stdio->callbacks->drained(stdio->arg);
}

/* The connection stays, half closed, until the process ends: what the guest has not read yet is still on its way. */
static void in_ended(void *arg)
{
	struct stream *stream = arg;

	log_debug("stream %u: end of input", stream->number);
}

static void drop_in(struct stream *stream)
{
	relay_destroy(stream->in);
	stream->in = NULL;
}

static void out_ended(void *arg)
{
	struct stream *stream = arg;

	relay_destroy(stream->out);
	stream->out = NULL;
	notify_relay_destroy(stream->notify);
	stream->notify = NULL;
	stream->out_ended = true;
	/* A terminal hung up by the guest takes no more input either, nor a socket it has closed. */
	drop_in(stream);
	check_drained(stream->stdio);
}

static int start_relays(struct stream *stream, int guest_fd, struct err *err)
{
	struct stdio *stdio = stream->stdio;
	auto_fd int guest = guest_fd;
	auto_fd int host = take_fd(&stream->host_fd);
	bool gives = stream->gives;

	if (stream->is_notify) {
		stream->notify =
			notify_relay_create(stdio->loop, take_fd(&guest), take_fd(&host), out_ended, stream, err);
		return stream->notify ? 0 : -1;
	}
	if (stream->takes) {
		int from = gives ? fcntl(host, F_DUPFD_CLOEXEC, 3) : take_fd(&host);
		int to = gives ? fcntl(guest, F_DUPFD_CLOEXEC, 3) : take_fd(&guest);

		if (from < 0 || to < 0)
			return err_set_errno(err, "cannot duplicate a stream");
		stream->in = relay_create(stdio->loop, relay_open_end(from, false), to, in_ended, stream, err);
		if (!stream->in)
			return -1;
	}
	if (gives) {
		stream->out = relay_create(stdio->loop, take_fd(&guest), relay_open_end(take_fd(&host), true),
					   out_ended, stream, err);
		if (!stream->out)
			return -1;
	}
	if (stdio->finished)
		drop_in(stream);
	return 0;
}

static void send_attach(struct stream *stream)
{
	struct stdio *stdio = stream->stdio;
	agent_AttachRequest request = {
		.container = (char *)(size_t)stdio->container,
		.exec = (char *)(size_t)stdio->exec,
		.stream = stream->number,
	};
	struct err err = ERR_INIT;

	if (channel_send(stream->channel, PROTO_ATTACH, ATTACH_ID, agent_AttachRequest_fields, &request, &err) < 0)
		stream_failed(stream, err.text);
}

static void stream_opened(void *arg)
{
	struct stream *stream = arg;

	stream->opened = true;
	if (stream->stdio->attaching)
		send_attach(stream);
}

static void stream_received(void *arg, const struct proto_header *header, const uint8_t *payload)
{
	struct stream *stream = arg;
	struct stdio *stdio = stream->stdio;
	struct err err = ERR_INIT;

	if (!stdio->attaching) {
		stream_failed(stream, "the guest answered before it was asked");
		return;
	}
	if (header->type == PROTO_ERROR && header->id == ATTACH_ID) {
		frame_decode_error(payload, header->length, &err);
		stream_failed(stream, err.text);
		return;
	}
	if (header->type != PROTO_ATTACH_REPLY || header->id != ATTACH_ID) {
		stream_failed(stream, "the guest's answer about a standard stream makes no sense");
		return;
	}
	int fd = channel_take_fd(stream->channel);
	stream->channel = NULL;
	if (start_relays(stream, fd, &err) < 0) {
		stream_failed(stream, err.text);
		return;
	}
	if (++stdio->attached == stdio->count)
		stdio->callbacks->attached(stdio->arg);
	check_drained(stdio);
}

static void stream_closed(void *arg, const char *why)
{
	stream_failed(arg, why);
}

static const struct channel_callbacks stream_callbacks = { stream_opened, stream_received, stream_closed };

static void add_stream(struct stdio *stdio, unsigned number, bool takes, bool gives, int host_fd)
{
	stdio->streams[stdio->count++] = (struct stream){
		.stdio = stdio,
		.number = number,
		.takes = takes,
		.gives = gives,
		.host_fd = host_fd,
	};
}

/* Out of the low numbers: a closed 0, 1 or 2 would be given to the next file opened. */
static int take_standard(struct stdio *stdio, struct err *err)
{
	for (int i = 0; i < 3; i++) {
		int fd = fcntl(i, F_DUPFD_CLOEXEC, 3);

		if (fd < 0)
			return err_set_errno(err, "cannot duplicate standard stream %d", i);
		add_stream(stdio, (unsigned)i, i == 0, i > 0, fd);
	}
	return 0;
}

static int take_preserved(struct stdio *stdio, int count, struct err *err)
{
	for (int fd = 3; fd < 3 + count && stdio->count < STREAMS_MAX; fd++) {
		int way = preserved_fd_way(fd, err);

		if (way < 0)
			return -1;
		add_stream(stdio, (unsigned)fd, way & PROTO_STREAM_READ, way & PROTO_STREAM_WRITE, fd);
	}
	return 0;
}

static int silence_standard(struct err *err)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null_fd < 0)
		return err_set_errno(err, "/dev/null");
	for (int i = 0; i < 3; i++)
		dup2(null_fd, i);
	close(null_fd);
	return 0;
}

struct stdio *stdio_connect(struct loop *loop, int dirfd, const char *container, const char *exec, int terminal_fd,
			    int preserved_fds, int notify_fd, const struct stdio_callbacks *callbacks, void *arg,
			    struct err *err)
{
	struct stdio *stdio = calloc(1, sizeof *stdio);

	if (!stdio) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	stdio->loop = loop;
	stdio->callbacks = callbacks;
	stdio->arg = arg;
	stdio->container = container;
	stdio->exec = exec;
	if (terminal_fd >= 0)
		add_stream(stdio, 0, true, true, terminal_fd);
	else if (take_standard(stdio, err) < 0)
		goto failed;
	if (take_preserved(stdio, preserved_fds, err) < 0)
		goto failed;
	if (notify_fd >= 0) {
		add_stream(stdio, 3 + (unsigned)preserved_fds, false, true, notify_fd);
		stdio->streams[stdio->count - 1].is_notify = true;
	}
	if (silence_standard(err) < 0)
		goto failed;
	for (unsigned i = 0; i < stdio->count; i++) {
		struct stream *stream = &stdio->streams[i];

		stream->channel = channel_connect(loop, dirfd, AGENT_PORT_STREAM, &stream_callbacks, stream, err);
		if (!stream->channel)
			goto failed;
	}
	return stdio;
failed:
	stdio_destroy(stdio);
	return NULL;
}

void stdio_attach(struct stdio *stdio)
{
	stdio->attaching = true;
	for (unsigned i = 0; i < stdio->count; i++) {
		if (stdio->streams[i].opened && stdio->streams[i].channel)
			send_attach(&stdio->streams[i]);
	}
}

void stdio_finish(struct stdio *stdio)
{
	stdio->finished = true;
	for (unsigned i = 0; i < stdio->count; i++) {
		struct stream *stream = &stdio->streams[i];

		drop_in(stream);
		if (stream->out)
			relay_make_room(stream->out);
	}
}

void stdio_destroy(struct stdio *stdio)
{
	if (!stdio)
		return;
	for (unsigned i = 0; i < stdio->count; i++) {
		struct stream *stream = &stdio->streams[i];

		channel_destroy(stream->channel);
		relay_destroy(stream->in);
		relay_destroy(stream->out);
		notify_relay_destroy(stream->notify);
		close_fd(&stream->host_fd);
	}
	free(stdio);
}
