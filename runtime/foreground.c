/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/foreground.h"

#include "runtime/relay.h"
#include "runtime/signals.h"
#include "runtime/sync.h"
#include "runtime/terminal.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TIMED_OUT_STATUS = 124 };

struct attendance {
	const struct foreground *foreground;
	struct loop *loop;
	int pid_fd, signal_fd, timer_fd;
	int size_fd; /* the master, for its size */
	struct loop_watch *sync_watch, *pid_watch;
	struct relay *in, *out;
	bool process_gone, output_gone, timed_out;
};

static void stop_if_over(struct attendance *a)
{
	if (a->process_gone && a->output_gone)
		loop_stop(a->loop, 0);
}

static void process_ended(void *arg, uint32_t events)
{
	struct attendance *a = arg;

	(void)events;
	loop_remove(a->loop, a->pid_watch);
	a->pid_watch = NULL;
	a->process_gone = true;
	stop_if_over(a);
}

static void input_ended(void *arg)
{
	(void)arg;
}

static void output_ended(void *arg)
{
	struct attendance *a = arg;

	a->output_gone = true;
	stop_if_over(a);
}

static void pass_signal(void *arg, uint32_t events)
{
	struct attendance *a = arg;
	struct signalfd_siginfo info;
	struct winsize size;

	(void)events;
	if (read(a->signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
		return;
	if (info.ssi_signo == SIGWINCH && a->size_fd >= 0) {
		if (terminal_get_size(STDIN_FILENO, &size))
			ioctl(a->size_fd, TIOCSWINSZ, &size);
		return;
	}
	pidfd_send_signal(a->pid_fd, (int)info.ssi_signo, NULL, 0);
}

/* Whatever the guest does about SIGTERM, the time is over: the proxy takes the monitor with it. */
static void time_is_over(void *arg, uint32_t events)
{
	struct attendance *a = arg;
	uint64_t count;

	(void)events;
	if (read(a->timer_fd, &count, sizeof count) != (ssize_t)sizeof count)
		return;
	a->timed_out = true;
	pidfd_send_signal(a->pid_fd, SIGKILL, NULL, 0);
}

static void hear(void *arg, uint32_t events)
{
	struct attendance *a = arg;
	struct sync_message message;

	(void)events;
	if (sync_receive(a->foreground->sync_fd, &message) < 0) {
		loop_remove(a->loop, a->sync_watch);
		a->sync_watch = NULL;
	} else if (message.kind == SYNC_LOST) {
		terminal_restore_user();
		fprintf(stderr, "bulkhead: the virtual machine was lost: %s\n", message.text);
	}
}

static int open_fds(struct attendance *a, struct err *err)
{
	sigset_t signals;

	signal_forwardable(&signals);
	/* Ours to stop by, as for every program of the user's. */
	sigdelset(&signals, SIGTSTP);
	sigdelset(&signals, SIGTTIN);
	sigdelset(&signals, SIGTTOU);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	a->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	a->pid_fd = pidfd_open(a->foreground->pid, 0);
	a->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	a->loop = loop_create(err);
	if (!a->loop)
		return -1;
	if (a->signal_fd < 0 || a->pid_fd < 0 || a->timer_fd < 0)
		return err_set_errno(err, "cannot wait for the container");
	struct itimerspec limit = { .it_value.tv_sec = a->foreground->timeout_seconds };
	timerfd_settime(a->timer_fd, 0, &limit, NULL);
	a->pid_watch = loop_add_fd(a->loop, a->pid_fd, EPOLLIN, process_ended, a);
	a->sync_watch = loop_add_fd(a->loop, a->foreground->sync_fd, EPOLLIN, hear, a);
	if (!a->pid_watch || !a->sync_watch || !loop_add_fd(a->loop, a->signal_fd, EPOLLIN, pass_signal, a) ||
	    !loop_add_fd(a->loop, a->timer_fd, EPOLLIN, time_is_over, a))
		return err_set_errno(err, "cannot wait for the container");
	return 0;
}

/* The user's terminal in raw mode; keys go to the master, what the guest shows comes from it. */
static int lend_terminal(struct attendance *a, struct err *err)
{
	int master = a->foreground->master_fd;
	struct winsize size;

	if (master < 0) {
		a->output_gone = true;
		return 0;
	}
	a->size_fd = fcntl(master, F_DUPFD_CLOEXEC, 3);
	int from = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	int to = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	int copy = fcntl(master, F_DUPFD_CLOEXEC, 3);
	if (a->size_fd < 0 || from < 0 || to < 0 || copy < 0)
		return err_set_errno(err, "cannot duplicate the terminal");
	fcntl(master, F_SETFL, O_NONBLOCK);   /* ours alone, and its copies with it */
	terminal_make_user_raw(STDIN_FILENO); /* not a terminal: a script at the other end, which is fine */
	if (terminal_get_size(STDIN_FILENO, &size))
		ioctl(master, TIOCSWINSZ, &size);
	a->in = relay_create(a->loop, relay_open_end(from, false), copy, input_ended, a, err);
	a->out = a->in ? relay_create(a->loop, master, relay_open_end(to, true), output_ended, a, err) : NULL;
	return a->out ? 0 : -1;
}

static int reap(struct attendance *a, struct err *err)
{
	int status;

	if (waitpid(a->foreground->pid, &status, 0) < 0)
		return err_set_errno(err, "cannot wait for the container");
	if (a->timed_out)
		return TIMED_OUT_STATUS;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int foreground_wait(const struct foreground *foreground, struct err *err)
{
	struct attendance a = {
		.foreground = foreground,
		.pid_fd = -1,
		.signal_fd = -1,
		.timer_fd = -1,
		.size_fd = -1,
	};
	int result = open_fds(&a, err);

	if (result == 0)
		result = lend_terminal(&a, err);
	if (result == 0 && loop_run(a.loop) < 0)
		result = err_set_errno(err, "cannot wait for the container");
	terminal_restore_user();
	relay_destroy(a.in);
	relay_destroy(a.out);
	loop_destroy(a.loop);
	close_fd(&a.signal_fd);
	close_fd(&a.timer_fd);
	close_fd(&a.size_fd);
	if (result == 0)
		result = reap(&a, err);
	close_fd(&a.pid_fd);
	return result;
}
