/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/sync.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

int sync_send(int fd, const struct sync_message *message)
{
	size_t length = offsetof(struct sync_message, text) + strnlen(message->text, sizeof message->text - 1) + 1;

	for (;;) {
		ssize_t n = send(fd, message, length, MSG_NOSIGNAL);

		if (n == (ssize_t)length)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		return -1;
	}
}

int sync_receive(int fd, struct sync_message *message)
{
	ssize_t n;

	memset(message, 0, sizeof *message);
	/* A peer that went with something of ours unread is reported first, and once; what it sent is still there. */
	do
		n = recv(fd, message, sizeof *message, 0);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0)
		return -1;
	if (n == 0) {
		errno = EPIPE;
		return -1;
	}
	if ((size_t)n < offsetof(struct sync_message, text)) {
		errno = EPROTO;
		return -1;
	}
	message->text[sizeof message->text - 1] = '\0';
	return 0;
}
