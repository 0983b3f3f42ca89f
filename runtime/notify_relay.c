/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/notify_relay.h"

#include "runtime/plain_text.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/loop.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { MESSAGE_MAX = 4096, READS_PER_ROUND = 8 };

struct notify_relay {
	struct loop *loop;
	struct loop_watch *watch;
	int source, destination;
	size_t used;
	bool skips; /* the rest of a line that was too long */
	char text[MESSAGE_MAX];
	notify_relay_done *done;
	void *arg;
};

static bool is_allowed(const char *line)
{
	static const char *const names[] = {
		"READY=",          "RELOADING=",    "STOPPING=", "STATUS=",        "ERRNO=",
		"BUSERROR=",       "VARLINKERROR=", "WATCHDOG=", "WATCHDOG_USEC=", "EXTEND_TIMEOUT_USEC=",
		"MONOTONIC_USEC=", "EXIT_STATUS=",
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strncmp(line, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* The whole lines of the first `length` bytes, of which the last is a line feed. */
static void pass_lines(struct notify_relay *relay, size_t length)
{
	char message[MESSAGE_MAX];
	size_t used = 0;

	for (char *line = relay->text, *past = relay->text + length; line < past;) {
		char *end = memchr(line, '\n', (size_t)(past - line));
		char *this_line = line;
		bool is_rest = relay->skips;

		line = end + 1;
		*end = '\0';
		relay->skips = false;
		if (is_rest || !is_allowed(this_line))
			continue;
		/* A zero in it is its end, to us as to the service manager. */
		plain_text(this_line);
		size_t size = strlen(this_line);
		memcpy(message + used, this_line, size);
		used += size;
		message[used++] = '\n';
	}
	if (used > 0 && send(relay->destination, message, used, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_debug("NOTIFY_SOCKET: %s", strerror(errno));
}

/* False: there is no more for now, or ever. */
static bool pass_some(struct notify_relay *relay, bool *ended)
{
	ssize_t n = recv(relay->source, relay->text + relay->used, sizeof relay->text - relay->used, MSG_DONTWAIT);

	if (n <= 0) {
		*ended = n == 0 || (errno != EAGAIN && errno != EINTR);
		return false;
	}
	relay->used += (size_t)n;
	const char *last = memrchr(relay->text, '\n', relay->used);
	size_t whole = last ? (size_t)(last + 1 - relay->text) : 0;
	if (whole > 0)
		pass_lines(relay, whole);
	relay->used -= whole;
	memmove(relay->text, relay->text + whole, relay->used);
	if (relay->used == sizeof relay->text) {
		relay->used = 0;
		relay->skips = true;
	}
	return true;
}

static void readable(void *arg, uint32_t events)
{
	struct notify_relay *relay = arg;
	bool ended = false;

	(void)events;
	for (unsigned i = 0; i < READS_PER_ROUND && pass_some(relay, &ended); i++)
		;
	if (!ended)
		return;
	loop_remove(relay->loop, relay->watch);
	relay->watch = NULL;
	relay->done(relay->arg);
}

struct notify_relay *notify_relay_create(struct loop *loop, int source, int destination, notify_relay_done *done,
					 void *arg, struct err *err)
{
	struct notify_relay *relay = calloc(1, sizeof *relay);

	if (!relay) {
		err_set(err, ENOMEM, "out of memory");
		close_fd(&source);
		close_fd(&destination);
		return NULL;
	}
	relay->loop = loop;
	relay->source = source;
	relay->destination = destination;
	relay->done = done;
	relay->arg = arg;
	relay->watch = loop_add_fd(loop, source, EPOLLIN, readable, relay);
	if (relay->watch)
		return relay;
	err_set_errno(err, "cannot wait for the guest's messages");
	notify_relay_destroy(relay);
	return NULL;
}

void notify_relay_destroy(struct notify_relay *relay)
{
	if (!relay)
		return;
	loop_remove(relay->loop, relay->watch);
	close_fd(&relay->source);
	close_fd(&relay->destination);
	free(relay);
}
