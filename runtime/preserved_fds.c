/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/preserved_fds.h"

#include "runtime/options.h"

#include "common/err.h"
#include "common/fd_stat.h"
#include "common/proto.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ASKED_MAX = 1024 };

static int socket_way(int fd, struct err *err)
{
	int type = 0, listens = 0;
	socklen_t length = sizeof type;

	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length);
	length = sizeof listens;
	getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length);
	if (listens || type != SOCK_STREAM)
		return err_set(err, ENOTSUP,
			       "descriptor %d is a socket that %s, and only a connected stream leads into a VM", fd,
			       listens ? "listens" : "sends messages");
	return PROTO_STREAM_READ | PROTO_STREAM_WRITE;
}

int preserved_fd_way(int fd, struct err *err)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0 || fd_stat(fd, &st) < 0)
		return err_set(err, EBADF, "descriptor %d is not open", fd);
	if (S_ISSOCK(st.st_mode))
		return socket_way(fd, err);
	if (S_ISDIR(st.st_mode) || flags & O_PATH)
		return err_set(err, ENOTSUP, "descriptor %d is %s, which does not lead into a VM", fd,
			       S_ISDIR(st.st_mode) ? "a directory" : "a path");
	switch (flags & O_ACCMODE) {
	case O_RDONLY:
		return PROTO_STREAM_READ;
	case O_WRONLY:
		return PROTO_STREAM_WRITE;
	default:
		/* A file has one position for both ways, a stream has none: such files are for reading. */
		return S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode) ? PROTO_STREAM_READ
								   : PROTO_STREAM_READ | PROTO_STREAM_WRITE;
	}
}

/* Ours all close on exec, and what came through our own exec cannot: nothing we opened is ever taken for the caller's.
 */
static bool is_the_callers(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	return flags >= 0 && !(flags & FD_CLOEXEC);
}

/* Of the `count` from 3 on, those up to the last that is open: crun's users name more than they have. */
static int count_open(long long count)
{
	int last = 0;

	for (int i = 0; i < count; i++)
		if (is_the_callers(3 + i))
			last = i + 1;
	return last;
}

static int add_way(int index, long long count, agent_Process *out, struct err *err)
{
	int fd = 3 + index;

	/* In runc's words. */
	int way = is_the_callers(fd) ? preserved_fd_way(fd, err)
				     : err_set(err, EBADF,
					       "descriptor %d is not open: please check that preserved-fd %d (of %lld) "
					       "is present",
					       fd, index, count);

	if (way < 0)
		return -1;
	out->more_streams[out->more_streams_count++] = (uint32_t)way;
	return 0;
}

int preserved_fds_describe(const struct option_number *option, int listen_fds, agent_Process *out, struct err *err)
{
	long long given = option->given ? option->value : 0, count = given + listen_fds;

	if (given < 0 || count > ASKED_MAX)
		return err_set(err, EINVAL, "--preserve-fds %lld: must be from 0 to %d", given, ASKED_MAX);
	int last = count_open(count);
	if (last == 0 && given > 0)
		last = 1; /* refused below, by name */
	if (last == 0)
		return 0;
	if (last > PROTO_MORE_STREAMS_MAX)
		return err_set(err, EMFILE,
			       "--preserve-fds %lld: %d descriptors up to the last that is open, and a VM "
			       "can be given %d",
			       given, last, PROTO_MORE_STREAMS_MAX);
	out->more_streams = calloc((size_t)last, sizeof *out->more_streams);
	if (!out->more_streams)
		return err_set(err, ENOMEM, "out of memory");
	for (int i = 0; i < last; i++) {
		if (add_way(i, count, out, err) == 0)
			continue;
		return i < listen_fds ? err_wrap(err, "LISTEN_FDS=%d", listen_fds)
				      : err_wrap(err, "--preserve-fds %lld", given);
	}
	return last;
}

int preserved_fds_listen_count(void)
{
	const char *count = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");

	/* Meant for somebody else, of whom we have the environment. */
	if (!count || (pid && atoi(pid) != getpid()))
		return 0;
	int number = atoi(count);
	return number > 0 && number <= ASKED_MAX ? number : 0;
}
