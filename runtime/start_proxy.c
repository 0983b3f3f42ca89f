/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/start_proxy.h"

#include "runtime/command.h"
#include "runtime/interrupt.h"
#include "runtime/spawn.h"
#include "runtime/trace.h"

#include "common/auto.h"
#include "common/err.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OWN_FDS = 9, ARGUMENTS_MAX = 34 };

/* What the proxy reads in its main. The strings live in `text`. */
struct arguments {
	char **items;
	size_t count;
	char text[OWN_FDS + 1][16];
	size_t numbers;
};

static void add(struct arguments *a, const char *text)
{
	a->items[a->count++] = (char *)(size_t)text;
}

static void add_fd(struct arguments *a, const char *name, int fd)
{
	if (fd < 0)
		return;
	snprintf(a->text[a->numbers], sizeof a->text[0], "%d", fd);
	add(a, name);
	add(a, a->text[a->numbers++]);
}

static void build(const struct start_proxy *start, int sync_fd, struct arguments *a)
{
	const struct globals *globals = start->globals;

	add(a, "bulkhead-proxy");
	add(a, "--container");
	add(a, start->container);
	if (start->exec) {
		add(a, "--exec");
		add(a, start->exec);
	}
	if (start->adopts)
		add(a, "--adopt");
	add_fd(a, "--state-fd", start->state_fd);
	add_fd(a, "--request-fd", start->request_fd);
	add_fd(a, "--sync-fd", sync_fd);
	add_fd(a, "--terminal-fd", start->terminal_fd);
	add_fd(a, "--log-fd", start->log_fd);
	add_fd(a, "--root-fd", start->root_fd);
	add_fd(a, "--last-words-fd", start->last_words_fd);
	add_fd(a, "--notify-fd", start->notify_fd);
	add_fd(a, "--preserved-fds", start->preserved_fds > 0 ? start->preserved_fds : -1);
	if (start->watches_network) {
		add_fd(a, "--resolv-fd", start->resolv_fd);
		add(a, "--watch-network");
		if (start->use_vhost)
			add(a, "--vhost-net");
	}
	if (start->cgroup_fd >= 0 && !start->exec)
		add(a, "--own-cgroup");
	if (globals->log_format && start->log_fd == globals->log_fd) {
		add(a, "--log-format");
		add(a, globals->log_format);
	}
	if (globals->debug)
		add(a, "--debug");
	if (start->monitor_arguments && start->selinux_label) {
		add(a, "--selinux-label");
		add(a, start->selinux_label);
	}
	if (start->monitor_arguments) {
		add(a, "--");
		for (char **argument = start->monitor_arguments; *argument; argument++)
			add(a, *argument);
	}
}

static size_t count_of(char **strings)
{
	size_t count = 0;

	while (strings && strings[count])
		count++;
	return count;
}

static pid_t spawn_it(const struct start_proxy *start, int sync_fd, struct err *err)
{
	struct arguments a = { 0 };
	auto_free char **items = calloc(ARGUMENTS_MAX + count_of(start->monitor_arguments), sizeof *items);
	auto_free int *fds = calloc(start->monitor_fd_count + OWN_FDS + (size_t)start->preserved_fds, sizeof *fds);
	size_t count = 0;

	if (!items || !fds)
		return err_set(err, ENOMEM, "out of memory");
	a.items = items;
	build(start, sync_fd, &a);
	int own[OWN_FDS] = { start->state_fd,      start->request_fd, sync_fd,
			     start->terminal_fd,   start->log_fd,     start->root_fd,
			     start->last_words_fd, start->notify_fd,  start->watches_network ? start->resolv_fd : -1 };
	for (size_t i = 0; i < OWN_FDS; i++) {
		if (own[i] >= 0)
			fds[count++] = own[i];
	}
	for (size_t i = 0; i < start->monitor_fd_count; i++)
		fds[count++] = start->monitor_fds[i];
	for (int i = 0; i < start->preserved_fds; i++)
		fds[count++] = 3 + i;
	struct spawn spawn = {
		.program = start->program,
		.arguments = items,
		.fds = fds,
		.fd_count = count,
		.terminal_fd = start->terminal_fd,
		.null_streams = start->terminal_fd >= 0,
		.cgroup_fd = start->cgroup_fd,
		.network_fd = start->network_fd,
		.new_network = start->new_network,
		.has_oom_score_adj = start->has_oom_score_adj,
		.oom_score_adj = start->oom_score_adj,
		.sync_fd = sync_fd,
	};
	return spawn_proxy(&spawn, err);
}

pid_t start_proxy(const struct start_proxy *start, int *sync_fd, struct err *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set_errno(err, "cannot make a socket pair");
	auto_fd int ours = pair[0];
	auto_fd int theirs = pair[1];
	pid_t pid = spawn_it(start, theirs, err);
	if (pid > 0)
		*sync_fd = take_fd(&ours);
	return pid;
}

static int wait_message(int sync_fd, struct err *err)
{
	for (;;) {
		struct pollfd polled[] = {
			{ .fd = sync_fd, .events = POLLIN },
			{ .fd = interrupt_fd(), .events = POLLIN },
		};

		if (poll(polled, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return err_set_errno(err, "cannot wait for the proxy");
		}
		if (polled[0].revents)
			return 0;
		if (polled[1].revents)
			return interrupt_error(err);
	}
}

int start_proxy_await(int sync_fd, enum sync_kind kind, struct sync_message *message, struct err *err)
{
	for (;;) {
		if (wait_message(sync_fd, err) < 0)
			return -1;
		if (sync_receive(sync_fd, message) < 0)
			return err_set(err, EPIPE, "the container's proxy ended unexpectedly");
		if (message->kind == SYNC_STAMP)
			trace_vmm_stamp(message->code, (uint64_t)message->number);
		if (message->kind == SYNC_FAILED)
			return err_set(err, (int)message->code, "%s", message->text);
		if (message->kind == kind)
			return 0;
	}
}

int start_proxy_tell(int sync_fd, enum sync_kind kind, struct err *err)
{
	struct sync_message message = { .kind = kind };

	if (sync_send(sync_fd, &message) == 0)
		return 0;
	/* It is gone, and has said why. */
	return start_proxy_await(sync_fd, SYNC_FAILED, &message, err);
}

int start_proxy_request_fd(const void *data, size_t length, struct err *err)
{
	auto_fd int fd = memfd_create("description", MFD_CLOEXEC);

	if (fd < 0)
		return err_set_errno(err, "cannot make a file in memory");
	for (const char *at = data; length > 0;) {
		ssize_t n = write(fd, at, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set_errno(err, "cannot write a file in memory");
		at += n;
		length -= (size_t)n;
	}
	return take_fd(&fd);
}

void start_proxy_kill(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}
