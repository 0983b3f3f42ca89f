/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/stdio.h"

#include "common/auto.h"
#include "common/err.h"
#include "guest-agent/pump.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>

enum {
	STREAM_COUNT = 3,
	/* More than a pty holds between its two sides (kernel: 64 KiB of buffers and the line discipline's 4). */
	TERMINAL_HOLDS_AT_MOST = 128 << 10,
};

struct stream {
	struct stdio *io;
	unsigned index;
	int fd; /* the agent's end, -1 once a pump owns it (of a terminal: a copy stays for its size) */
	bool attached;
	struct pump *pump;  /* a pipe's only one; a terminal's output */
	struct pump *input; /* a terminal's input */
};

struct stdio {
	struct loop *loop;
	bool is_terminal;
	bool process_ended;
	/*
	 * A terminal's other side, open as long as the process lives. Programs such as systemd close their terminal and
	 * open it again; in between, reading the master would fail and nothing would tell us when to try again.
	 */
	int slave;
	struct stream streams[STREAM_COUNT];
};

struct stdio *stdio_create(struct loop *loop)
{
	struct stdio *io = calloc(1, sizeof *io);

	if (!io)
		return NULL;
	io->loop = loop;
	io->slave = -1;
	for (unsigned i = 0; i < STREAM_COUNT; i++)
		io->streams[i] = (struct stream){ .io = io, .index = i, .fd = -1 };
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
	for (unsigned i = 0; i < STREAM_COUNT; i++)
		close_stream(&io->streams[i]);
	close_fd(&io->slave);
	free(io);
}

int stdio_make_pipes(struct stdio *io, unsigned uid, unsigned gid, int out[3], struct err *err)
{
	for (unsigned i = 0; i < STREAM_COUNT; i++)
		out[i] = -1;
	for (unsigned i = 0; i < STREAM_COUNT; i++) {
		int ends[2];

		if (pipe2(ends, O_CLOEXEC) < 0 || fchown(ends[0], uid, gid) < 0) {
			err_set_errno(err, "making a pipe for a standard stream");
			for (unsigned j = 0; j < STREAM_COUNT; j++)
				close_fd(&out[j]);
			return -1;
		}
		close_fd(&io->streams[i].fd);
		io->streams[i].fd = ends[i == 0];
		out[i] = ends[i != 0];
	}
	return 0;
}

void stdio_set_terminal(struct stdio *io, int master)
{
	io->is_terminal = true;
	io->streams[0].fd = master;
	io->slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

/* A pump came to its end. Closing both of its descriptors tells the host and the process. */
static void stream_ended(void *arg)
{
	close_stream(arg);
}

int stdio_check_attach(const struct stdio *io, unsigned stream, struct err *err)
{
	if (stream >= STREAM_COUNT || (io->is_terminal && stream != 0))
		return err_set(err, EINVAL, "the process has no stream %u", stream);
	if (io->streams[stream].attached)
		return err_set(err, EBUSY, "stream %u is attached already", stream);
	return 0;
}

static void attach_terminal(struct stream *stream, int connection)
{
	struct stdio *io = stream->io;
	auto_fd int conn = connection;
	/* Two pumps over two descriptors: each owns a copy. */
	auto_fd int conn_copy = fcntl(conn, F_DUPFD_CLOEXEC, 0);
	auto_fd int master_in = fcntl(stream->fd, F_DUPFD_CLOEXEC, 0);
	auto_fd int master_out = fcntl(stream->fd, F_DUPFD_CLOEXEC, 0);

	if (conn_copy < 0 || master_in < 0 || master_out < 0)
		return close_stream(stream);
	stream->input = pump_create(io->loop, take_fd(&conn_copy), take_fd(&master_in), stream_ended, stream);
	stream->pump = pump_create(io->loop, take_fd(&master_out), take_fd(&conn), stream_ended, stream);
	if (!stream->input || !stream->pump)
		close_stream(stream);
}

static void drain(struct stream *stream)
{
	pump_destroy(stream->input);
	stream->input = NULL;
	if (stream->pump)
		pump_drain(stream->pump, stream->io->is_terminal ? TERMINAL_HOLDS_AT_MOST : 0);
}

void stdio_attach(struct stdio *io, unsigned index, int connection)
{
	struct stream *stream = &io->streams[index];

	stream->attached = true;
	if (stream->fd < 0) { /* standard input of a process that has ended */
		close_fd(&connection);
		return;
	}
	if (io->is_terminal) {
		attach_terminal(stream, connection);
	} else {
		int fd = take_fd(&stream->fd);

		if (index == 0)
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
	io->process_ended = true;
	close_fd(&io->slave);
	if (!io->is_terminal)
		close_stream(&io->streams[0]);
	for (unsigned i = 0; i < STREAM_COUNT; i++) {
		if (io->streams[i].pump)
			drain(&io->streams[i]);
	}
}

bool stdio_is_busy(const struct stdio *io)
{
	for (unsigned i = 0; i < STREAM_COUNT; i++) {
		if (io->streams[i].pump)
			return true;
	}
	return false;
}

bool stdio_is_delivered(const struct stdio *io)
{
	for (unsigned i = io->is_terminal ? 0 : 1; i < (io->is_terminal ? 1 : STREAM_COUNT); i++) {
		if (!io->streams[i].attached || io->streams[i].pump)
			return false;
	}
	return true;
}
