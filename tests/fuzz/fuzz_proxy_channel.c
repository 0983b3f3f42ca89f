/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A proxy's connection to a hostile agent: whatever comes, in whatever pieces, every frame handed on is one the
 * protocol allows, and after the channel is closed or taken over nothing more is handed on.
 *
 * Input: pieces, each a length byte and as many bytes; the channel gets a turn after each. A piece of length 255 makes
 * the receiver destroy the channel at the next frame, one of 254 makes it take the descriptor.
 *
 * Covers: runtime/proxy_channel.c
 */
#include "runtime/proxy_channel.h"

#include "runtime/vm_socket.h"

#include "common/err.h"
#include "common/loop.h"
#include "common/proto.h"

#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	struct channel *channel;
	enum { GO_ON, DESTROY, TAKE } next;
	bool over;
	uint32_t sum;
} end;

static void opened(void *arg)
{
	(void)arg;
	assert(!end.over);
}

static void received(void *arg, const struct proto_header *header, const uint8_t *payload)
{
	(void)arg;
	assert(!end.over);
	assert(proto_length_is_valid(header->type, header->length));
	for (uint32_t i = 0; i < header->length; i++)
		end.sum += payload[i];
	if (end.next == GO_ON)
		return;
	end.over = true;
	if (end.next == TAKE)
		close(channel_take_fd(end.channel));
	else
		channel_destroy(end.channel);
	end.channel = NULL;
}

static void closed(void *arg, const char *why)
{
	(void)arg;
	assert(!end.over && *why);
	end.over = true;
}

static const struct channel_callbacks callbacks = { opened, received, closed };

/* A listening socket that lives as long as the fuzzer. */
static int listener(int *dirfd)
{
	static int fd = -1, directory;
	char path[] = "/tmp/fuzz_channel.XXXXXX";
	struct err err = ERR_INIT;

	if (fd < 0) {
		assert(mkdtemp(path));
		directory = open(path, O_PATH | O_DIRECTORY);
		fd = vm_socket_listen(directory, VM_SOCKET_VSOCK, SOCK_STREAM, &err);
		assert(fd >= 0);
		fcntl(fd, F_SETFL, 0);
	}
	*dirfd = directory;
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	struct loop *loop = loop_create(&err);
	int dirfd, listening = listener(&dirfd);

	memset(&end, 0, sizeof end);
	end.channel = channel_connect(loop, dirfd, AGENT_PORT_CONTROL, &callbacks, NULL, &err);
	assert(end.channel);
	int agent = accept(listening, NULL, NULL);
	assert(agent >= 0);
	while (size > 0 && !end.over) {
		size_t length = *data++;

		size--;
		if (length >= 254) {
			end.next = length == 255 ? DESTROY : TAKE;
			continue;
		}
		length = length < size ? length : size;
		if (send(agent, data, length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
		data += length;
		size -= length;
		for (int turn = 0; turn < 3; turn++)
			loop_step(loop, 0);
	}
	close(agent);
	for (int turn = 0; turn < 40 && !end.over; turn++)
		loop_step(loop, 0);
	channel_destroy(end.channel);
	loop_destroy(loop);
	return 0;
}
