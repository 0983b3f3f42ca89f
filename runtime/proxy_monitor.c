/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/proxy_monitor.h"

#include "runtime/plain_text.h"
#include "runtime/selinux.h"
#include "runtime/signals.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/sandbox_regs.h"

#include "vmm/vmm_api.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REASON_MAX = 700, EVENTS_PER_ROUND = 16, KEPT_MAX = 64 };

static const char no_reason[] = "the monitor ended"; /* until something better is known */

struct monitor {
	pid_t pid;
	int pid_fd, event_fd;
	struct loop *loop;
	struct loop_watch *pid_watch, *event_watch;
	const struct monitor_callbacks *callbacks;
	void *arg;
	char reason[REASON_MAX];
	int code;
	enum vmm_stamp stage; /* the last stamp that came */
};

static int write_proc(const char *file, const char *format, unsigned id)
{
	char text[64];
	/* cppcheck-suppress wrongPrintfScanfArgNum ; `format` is not empty */
	int length = snprintf(text, sizeof text, format, id, id);
	auto_fd int fd = open(file, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, text, (size_t)length) != length ? -1 : 0;
}

/*
 * A user who is not root takes the right to make the monitor's jail from a user namespace. The user is the only one in
 * it, under the same number, so the rights there reach no more files than before; the jail gives them up.
 */
static int take_jail_rights(uid_t uid, gid_t gid)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (write_proc("/proc/self/setgroups", "deny", 0) < 0 || write_proc("/proc/self/uid_map", "%u %u 1", uid) < 0 ||
	    write_proc("/proc/self/gid_map", "%u %u 1", gid) < 0 || syscall(SYS_capget, &header, data) < 0)
		return -1;
	/* A number other than 0 keeps nothing over exec but what is ambient. */
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		data[i].inheritable = data[i].permitted;
	if (syscall(SYS_capset, &header, data) < 0)
		return -1;
	for (unsigned capability = 0; capability <= CAP_LAST_CAP; capability++)
		(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
	return 0;
}

static void __attribute__((noreturn)) fail(int event_fd, const char *what, const char *object)
{
	struct vmm_event event = { .kind = VMM_EVENT_ERROR, .code = (uint32_t)errno };

	snprintf(event.text, sizeof event.text, "%s%s: %s", what, object, strerror(errno));
	send(event_fd, &event, sizeof event, MSG_NOSIGNAL);
	_exit(127);
}

static void run_monitor(char **arguments, int event_fd, uid_t uid, gid_t gid, const char *label)
{
	struct err err = ERR_INIT;
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* A parent that died before this sends nothing; the monitor looks whether it is there. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* The container's streams are the proxy's alone: their readers wait for the last writer to close. */
	dup2(null_fd, 0);
	dup2(null_fd, 1);
#ifndef SANITIZED /* whose report is to be seen */
	dup2(null_fd, 2);
#endif
	if (uid != 0 && take_jail_rights(uid, gid) < 0)
		fail(event_fd, "cannot make a user namespace for the monitor's jail", "");
	signal_reset_all();
	if (label && selinux_set_exec(SELINUX_EXEC_FILE, label, &err) < 0) {
		errno = err.code;
		fail(event_fd, err.text, "");
	}
	execv(arguments[0], arguments);
	fail(event_fd, "cannot run the monitor ", arguments[0]);
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* What the monitor inherited is its own from now on: a listening socket kept here would outlive it. */
static void close_others(int *keep, size_t count)
{
	unsigned next = 3;

	qsort(keep, count, sizeof keep[0], by_number);
	for (size_t i = 0; i < count; i++) {
		unsigned fd = (unsigned)keep[i];

		if (keep[i] < 3)
			continue;
		if (fd > next)
			syscall(SYS_close_range, next, fd - 1, 0U);
		next = fd + 1;
	}
	syscall(SYS_close_range, next, ~0U, 0U);
}

/* The given arguments, and the event fd. */
static char **add_event_fd(char **arguments, int event_fd)
{
	static char number[16];
	static char name[] = "--event-fd";
	size_t count = 0;

	while (arguments[count])
		count++;
	char **all = calloc(count + 3, sizeof *all);
	if (!all)
		return NULL;
	memcpy(all, arguments, count * sizeof *all);
	snprintf(number, sizeof number, "%d", event_fd);
	all[count] = name;
	all[count + 1] = number;
	return all;
}

static pid_t fork_monitor(char **arguments, int event_fd, const char *label, struct err *err)
{
	auto_free char **all = add_event_fd(arguments, event_fd);

	if (!all)
		return err_set(err, ENOMEM, "out of memory");
	fcntl(event_fd, F_SETFD, 0);

	/* As fork, into a PID namespace: there is no other process that the monitor could name. */
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int flags = SIGCHLD | CLONE_NEWPID | (uid != 0 ? CLONE_NEWUSER : 0);
	pid_t pid = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);

	if (pid == 0)
		run_monitor(all, event_fd, uid, gid, label);
	if (pid < 0 && uid != 0)
		return err_set_errno(err, "cannot start the monitor in a user namespace, which a user other than root "
					  "needs for its jail");
	return pid > 0 ? pid : err_set_errno(err, "cannot start the monitor");
}

static int start(struct monitor *monitor, char **arguments, const int *keep, size_t keep_count, int shared_fd,
		 const char *label, struct err *err)
{
	int pair[2], kept[KEPT_MAX];

	if (keep_count + 2 > KEPT_MAX)
		return err_set(err, EINVAL, "too many descriptors");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return err_set_errno(err, "cannot make a socket pair");
	auto_fd int event_fd = pair[0];
	auto_fd int monitor_end = pair[1];
	for (size_t i = 0; i < keep_count; i++) {
		kept[i] = keep[i];
		if (keep[i] > 2 && keep[i] != shared_fd)
			fcntl(keep[i], F_SETFD, FD_CLOEXEC);
	}
	monitor->pid = fork_monitor(arguments, monitor_end, label, err);
	if (monitor->pid < 0)
		return -1;
	close_fd(&monitor_end);
	monitor->pid_fd = pidfd_open(monitor->pid, 0);
	if (monitor->pid_fd < 0)
		return err_set_errno(err, "pidfd_open");
	kept[keep_count] = monitor->pid_fd;
	kept[keep_count + 1] = monitor->event_fd = take_fd(&event_fd);
	close_others(kept, keep_count + 2);
	return 0;
}

struct monitor *monitor_start(char **arguments, const int *keep, size_t keep_count, int shared_fd, const char *label,
			      struct err *err)
{
	struct monitor *monitor = calloc(1, sizeof *monitor);

	if (!monitor) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	monitor->pid_fd = monitor->event_fd = -1;
	snprintf(monitor->reason, sizeof monitor->reason, "%s", no_reason);
	if (start(monitor, arguments, keep, keep_count, shared_fd, label, err) == 0)
		return monitor;
	/* The proxy exits next, and a monitor that was started dies with it. */
	close_fd(&monitor->pid_fd);
	close_fd(&monitor->event_fd);
	free(monitor);
	return NULL;
}

/* One line, for an error: the first line that is not empty, without characters that could upset a terminal. */
static void set_reason(struct monitor *monitor, const char *what, const char *text)
{
	int used = snprintf(monitor->reason, sizeof monitor->reason, "%s%s", what, *what && *text ? ": " : "");
	size_t at = used < 0 ? 0 : (size_t)used;

	for (; *text && at + 1 < sizeof monitor->reason; text++) {
		unsigned char c = (unsigned char)*text;

		monitor->reason[at++] = c == '\n' ? ' ' : (char)c;
	}
	while (at > 0 && monitor->reason[at - 1] == ' ')
		at--;
	monitor->reason[at] = '\0';
	plain_text(monitor->reason);
}

static void handle_event(struct monitor *monitor, struct vmm_event *event)
{
	/* After a breach the monitor speaks for the guest. */
	event->text[sizeof event->text - 1] = '\0';
	switch (event->kind) {
	case VMM_EVENT_STAMP:
		if (event->code < VMM_STAMP_COUNT)
			monitor->stage = event->code;
		monitor->callbacks->stamped(monitor->arg, event->code, event->ns);
		break;
	case VMM_EVENT_PANIC:
		log_guest(LOG_WARN, "guest panic", event->text, strlen(event->text));
		set_reason(monitor, "guest panic", event->text);
		break;
	case VMM_EVENT_ERROR:
		monitor->code = (int)(event->code & 0xfff);
		set_reason(monitor, "", event->text);
		break;
	case VMM_EVENT_OFF:
		/* A panic or the agent's last words came before and say more. */
		if (event->code >> 8 == SANDBOX_OFF_CLEAN)
			set_reason(monitor, "the guest powered off", "");
		break;
	default:
		log_debug("monitor: event %u of no known kind", event->kind);
	}
}

/* False at the end of the socket. */
static bool read_event(struct monitor *monitor)
{
	static struct vmm_event event;
	ssize_t n = recv(monitor->event_fd, &event, sizeof event, MSG_DONTWAIT);

	if (n < 0)
		return errno == EINTR;
	if (n == 0)
		return false;
	if (n == (ssize_t)sizeof event)
		handle_event(monitor, &event);
	else
		log_debug("monitor: event of %zd bytes", n);
	return true;
}

static void event_ready(void *arg, uint32_t events)
{
	struct monitor *monitor = arg;

	for (int i = 0; i < EVENTS_PER_ROUND; i++) {
		if (!read_event(monitor)) {
			/* At its end there is nothing more to come; the pidfd tells the rest. */
			if (events & EPOLLHUP) {
				loop_remove(monitor->loop, monitor->event_watch);
				monitor->event_watch = NULL;
			}
			return;
		}
	}
}

static void note_end(struct monitor *monitor)
{
	int status = 0;

	if (waitpid(monitor->pid, &status, 0) != monitor->pid || strcmp(monitor->reason, no_reason) != 0)
		return;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		snprintf(monitor->reason, sizeof monitor->reason,
			 "the monitor was killed for a system call that its jail does not allow (SIGSYS); the host's "
			 "audit log or `strace -f -p` on the monitor tells which: please report it");
	else if (WIFSIGNALED(status))
		snprintf(monitor->reason, sizeof monitor->reason, "the monitor was killed by signal %d",
			 WTERMSIG(status));
	else
		snprintf(monitor->reason, sizeof monitor->reason, "the monitor ended with status %d",
			 WEXITSTATUS(status));
}

static void pid_ready(void *arg, uint32_t events)
{
	struct monitor *monitor = arg;

	(void)events;
	for (int i = 0; i < EVENTS_PER_ROUND && read_event(monitor); i++)
		;
	note_end(monitor);
	loop_remove(monitor->loop, monitor->pid_watch);
	loop_remove(monitor->loop, monitor->event_watch);
	monitor->pid_watch = monitor->event_watch = NULL;
	monitor->callbacks->ended(monitor->arg);
}

int monitor_watch(struct monitor *monitor, struct loop *loop, const struct monitor_callbacks *callbacks, void *arg,
		  struct err *err)
{
	monitor->loop = loop;
	monitor->callbacks = callbacks;
	monitor->arg = arg;
	monitor->event_watch = loop_add_fd(loop, monitor->event_fd, EPOLLIN, event_ready, monitor);
	monitor->pid_watch = loop_add_fd(loop, monitor->pid_fd, EPOLLIN, pid_ready, monitor);
	if (!monitor->event_watch || !monitor->pid_watch)
		return err_set_errno(err, "cannot watch the monitor");
	return 0;
}

pid_t monitor_pid(const struct monitor *monitor)
{
	return monitor->pid;
}

const char *monitor_stage(const struct monitor *monitor)
{
	static const char *const stages[VMM_STAMP_COUNT] = {
		[VMM_STAMP_START] = "the monitor has not loaded a kernel",
		[VMM_STAMP_LOADED] = "the kernel was not entered",
		[VMM_STAMP_FIRST_ENTRY] = "its kernel has not come to the guest module",
		[VMM_STAMP_MODULE] = "its kernel has not come to the agent",
		[VMM_STAMP_AGENT_START] = "its agent is not ready",
		[VMM_STAMP_AGENT_READY] = "its agent does not answer",
		[VMM_STAMP_TEMPLATE] = "the monitor has not restored its template",
		[VMM_STAMP_RESTORED] = "the monitor has not made its devices",
	};

	return stages[monitor->stage];
}

void monitor_terminate(struct monitor *monitor)
{
	pidfd_send_signal(monitor->pid_fd, SIGTERM, NULL, 0);
}

void monitor_kill(struct monitor *monitor)
{
	pidfd_send_signal(monitor->pid_fd, SIGKILL, NULL, 0);
}

const char *monitor_reason(const struct monitor *monitor)
{
	return monitor->reason;
}

int monitor_code(const struct monitor *monitor)
{
	return monitor->code;
}
