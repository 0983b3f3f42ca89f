/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/stdio.h"

#include "common/auto.h"
#include "common/err.h"
#include "guest-agent/notify.h"
#include "guest-agent/pump.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

enum {
	/* More than a pty holds between its two sides (kernel: 64 KiB of buffers and the line discipline's 4). */
	TERMINAL_HOLDS_AT_MOST = 128 << 10,
	SETTLE_ROUNDS = 64, /* of a pipe, which holds as much as one round takes */
	SENT_MS_MAX = 100,
};

struct stream {
	struct stdio *io;
	unsigned index;
	int fd;            /* the agent's end, -1 once a pump owns it (of a terminal: a copy stays for its size) */
	bool takes, gives; /* from the host, to the host; both: a terminal, a socket */
	bool attached;
	bool detached;      /* its pumps wait for another connection */
	struct pump *pump;  /* a pipe's only one; of both ways the output */
	struct pump *input; /* of both ways the input */
};

struct stdio {
	struct loop *loop;
	bool is_terminal;
	bool process_ended;
	bool was_detached; /* it is a copy's */
	/*
	 * A terminal's other side, open as long as the process lives. Programs such as systemd close their terminal and
	 * open it again; in between, reading the master would fail and nothing would tell us when to try again.
	 */
	int slave;
	struct stream streams[STDIO_MAX];
	unsigned count;
	struct notify *notify; /* NULL: none */
};

struct stdio *stdio_create(struct loop *loop)
{
	struct stdio *io = calloc(1, sizeof *io);

	if (!io)
		return NULL;
	io->loop = loop;
	io->slave = -1;
	io->count = 3;
	for (unsigned i = 0; i < STDIO_MAX; i++)
		io->streams[i] = (struct stream){ .io = io, .index = i, .fd = -1, .takes = i == 0, .gives = i > 0 };
	return io;
}

static void close_stream(struct stream *stream)
{
	pump_destroy(stream->pump);
	pump_destroy(stream->input);
	stream->pump = stream->input = NULL;
	close_fd(&stream->fd);
}

void stdio_destroy(struct stdio *io)
{
	if (!io)
		return;
	for (unsigned i = 0; i < io->count; i++)
		close_stream(&io->streams[i]);
	notify_destroy(io->notify);
	close_fd(&io->slave);
	free(io);
}

/* Either may end its pump, and with it the stream. */
static void resume_stream(struct stream *stream)
{
	if (stream->input)
		pump_resume(stream->input);
	if (stream->pump)
		pump_resume(stream->pump);
}

/* A socket pair for both ways. ends[0] becomes the process's. */
static int make_ends(const struct stream *stream, int ends[2])
{
	int pair[2];

	if (stream->takes && stream->gives)
		return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -1;
	ends[0] = pair[stream->gives];
	ends[1] = pair[stream->takes];
	return 0;
}

static int make_stream(struct stream *stream, unsigned uid, unsigned gid, int *out)
{
	int ends[2];

	if (make_ends(stream, ends) < 0)
		return -1;
	*out = ends[0];
	close_fd(&stream->fd);
	stream->fd = ends[1];
	/* Both ends of a pipe are one file; a socket cannot be opened by its name, whoever owns it. */
	return stream->takes && stream->gives ? 0 : fchown(ends[0], uid, gid);
}

static int make_streams(struct stream *streams, size_t count, unsigned uid, unsigned gid, int *out, struct err *err)
{
	for (size_t i = 0; i < count; i++)
		out[i] = -1;
	for (size_t i = 0; i < count; i++) {
		if (make_stream(&streams[i], uid, gid, &out[i]) == 0)
			continue;
		err_set_errno(err, "making stream %u", streams[i].index);
		for (size_t j = 0; j < count; j++)
			close_fd(&out[j]);
		return -1;
	}
	return 0;
}

int stdio_make_pipes(struct stdio *io, unsigned uid, unsigned gid, int out[3], struct err *err)
{
	return make_streams(io->streams, 3, uid, gid, out, err);
}

int stdio_make_more(struct stdio *io, const uint32_t *ways, size_t count, unsigned uid, unsigned gid, int *out,
		    struct err *err)
{
	assert(count <= PROTO_MORE_STREAMS_MAX);
	io->count = 3 + (unsigned)count;
	for (size_t i = 0; i < count; i++) {
		io->streams[3 + i].takes = ways[i] & PROTO_STREAM_READ;
		io->streams[3 + i].gives = ways[i] & PROTO_STREAM_WRITE;
	}
	return make_streams(io->streams + 3, count, uid, gid, out, err);
}

int stdio_add_notify(struct stdio *io, const char *path, struct err *err)
{
	struct stream *stream = &io->streams[io->count];

	assert(io->count < STDIO_MAX && !io->notify);
	io->notify = notify_create(io->loop, path, &stream->fd, err);
	if (!io->notify)
		return -1;
	stream->takes = false;
	stream->gives = true;
	io->count++;
	return 0;
}

void stdio_set_terminal(struct stdio *io, int master)
{
	io->is_terminal = true;
	io->streams[0].fd = master;
	io->streams[0].gives = true;
	io->streams[1].gives = io->streams[2].gives = false;
	io->slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

/* A pump came to its end. Closing both of its descriptors tells the host and the process. */
static void stream_ended(void *arg)
{
	close_stream(arg);
}

int stdio_check_attach(const struct stdio *io, unsigned stream, struct err *err)
{
	/*
	 * Who restores a container may have notifications to forward when its process was given no socket for them.
	 * There will be none: stdio_attach closes the connection.
	 */
	if (stream == io->count && io->was_detached && !io->notify && !io->streams[stream].attached)
		return 0;
	if (stream >= io->count || (io->is_terminal && (stream == 1 || stream == 2)))
		return err_set(err, EINVAL, "the process has no stream %u", stream);
	if (io->streams[stream].attached)
		return err_set(err, EBUSY, "stream %u is attached already", stream);
	return 0;
}

/* The host sends no more. A socket says so to the process, which may go on writing; a terminal is hung up. */
static void input_ended(void *arg)
{
	struct stream *stream = arg;

	if (stream->index == 0) {
		close_stream(stream);
		return;
	}
	pump_destroy(stream->input);
	stream->input = NULL;
	shutdown(stream->fd, SHUT_WR);
}

/* The pumps go on with what they hold, over this connection. */
static void attach_again(struct stream *stream, int connection)
{
	auto_fd int conn = connection;

	stream->detached = false;
	if (!stream->pump && !stream->input) /* the process has ended before anybody came */
		return;
	if (stream->input || (stream->takes && !stream->gives)) {
		struct pump *input = stream->input ? stream->input : stream->pump;
		int copy = fcntl(conn, F_DUPFD_CLOEXEC, 0);

		if (copy < 0)
			return close_stream(stream);
		pump_set_source(input, copy);
	}
	if (stream->gives && stream->pump)
		pump_set_sink(stream->pump, take_fd(&conn));
	resume_stream(stream);
}

static void attach_both_ways(struct stream *stream, int connection)
{
	struct stdio *io = stream->io;
	auto_fd int conn = connection;
	/* Two pumps over two descriptors: each owns a copy. */
	auto_fd int conn_copy = fcntl(conn, F_DUPFD_CLOEXEC, 0);
	auto_fd int in = fcntl(stream->fd, F_DUPFD_CLOEXEC, 0);
	auto_fd int out = fcntl(stream->fd, F_DUPFD_CLOEXEC, 0);

	if (conn_copy < 0 || in < 0 || out < 0)
		return close_stream(stream);
	stream->input = pump_create(io->loop, take_fd(&conn_copy), take_fd(&in), input_ended, stream);
	stream->pump = pump_create(io->loop, take_fd(&out), take_fd(&conn), stream_ended, stream);
	if (!stream->input || !stream->pump)
		close_stream(stream);
}

static void drain(struct stream *stream)
{
	pump_destroy(stream->input);
	stream->input = NULL;
	if (stream->pump)
		pump_drain(stream->pump, stream->io->is_terminal && stream->index == 0 ? TERMINAL_HOLDS_AT_MOST : 0);
}

void stdio_attach(struct stdio *io, unsigned index, int connection)
{
	struct stream *stream = &io->streams[index];

	stream->attached = true;
	if (stream->fd < 0 && !stream->detached) { /* input of a process that has ended */
		close_fd(&connection);
		return;
	}
	if (stream->detached) {
		attach_again(stream, connection);
	} else if (stream->takes && stream->gives) {
		attach_both_ways(stream, connection);
	} else {
		int fd = take_fd(&stream->fd);

		if (stream->takes)
			stream->pump = pump_create(io->loop, connection, fd, stream_ended, stream);
		else
			stream->pump = pump_create(io->loop, fd, connection, stream_ended, stream);
	}
	if (io->process_ended && stream->pump)
		drain(stream);
}

int stdio_resize(struct stdio *io, unsigned rows, unsigned columns, struct err *err)
{
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };

	if (!io->is_terminal)
		return err_set(err, ENOTTY, "the process has no terminal");
	if (io->streams[0].fd < 0)
		return 0; /* hung up: nobody looks at it any more */
	if (ioctl(io->streams[0].fd, TIOCSWINSZ, &size) < 0)
		return err_set_errno(err, "setting the size of the terminal");
	return 0;
}

void stdio_process_ended(struct stdio *io)
{
	stdio_resume(io); /* killed while it was suspended */
	io->process_ended = true;
	if (io->notify)
		notify_finish(io->notify);
	close_fd(&io->slave);
	for (unsigned i = 0; i < io->count; i++) {
		if (!io->streams[i].gives)
			close_stream(&io->streams[i]);
		else if (io->streams[i].pump)
			drain(&io->streams[i]);
	}
}

/* Bytes that the guest's kernel has still to hand over belong to this life, and a copy would never send them. */
static void await_sent(const struct stream *stream)
{
#ifdef AGENT_TEST
	(void)stream;
#else
	const struct timespec moment = { .tv_nsec = 1000000 };
	int unsent;

	for (unsigned i = 0; i < SENT_MS_MAX; i++) {
		if (ioctl(pump_sink(stream->pump), TIOCOUTQ, &unsent) < 0 || unsent == 0)
			return;
		nanosleep(&moment, NULL);
	}
#endif
}

void stdio_suspend(struct stdio *io)
{
	for (unsigned i = 0; i < io->count; i++) {
		struct stream *stream = &io->streams[i];

		for (unsigned round = 0; stream->gives && stream->pump && round < SETTLE_ROUNDS; round++)
			if (!pump_settle(stream->pump))
				break;
		if (stream->gives && stream->pump)
			await_sent(stream);
		if (stream->input)
			pump_suspend(stream->input);
		if (stream->pump)
			pump_suspend(stream->pump);
	}
}

void stdio_resume(struct stdio *io)
{
	for (unsigned i = 0; i < io->count; i++)
		if (!io->streams[i].detached)
			resume_stream(&io->streams[i]);
}

void stdio_detach(struct stdio *io)
{
	io->was_detached = true;
	for (unsigned i = 0; i < io->count; i++) {
		struct stream *stream = &io->streams[i];

		stream->detached = stream->pump || stream->input;
		stream->attached = false; /* one that is closed already closes the next connection, too */
	}
}

bool stdio_is_busy(const struct stdio *io)
{
	for (unsigned i = 0; i < io->count; i++) {
		if (io->streams[i].pump)
			return true;
	}
	return false;
}

bool stdio_is_delivered(const struct stdio *io)
{
	for (unsigned i = 0; i < io->count; i++) {
		if (io->streams[i].gives && (!io->streams[i].attached || io->streams[i].pump))
			return false;
	}
	return true;
}
