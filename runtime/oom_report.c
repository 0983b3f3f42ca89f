/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/oom_report.h"

#include "runtime/host_cgroup.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The victim takes memory until it is killed. What of the cgroup's is cache the kernel gives it first, so there has to
 * be an end to it.
 */
#define VICTIM_BYTES (1ull << 30)
#define ROOM_BYTES (1ull << 20)
enum { PATIENCE_MS = 5000, VALUE_MAX = 32 };

void oom_report_open(struct oom_report *report)
{
	struct err ignored = ERR_INIT;
	auto_fd int fd = host_cgroup_open_own(&ignored);

	*report = OOM_REPORT_NONE;
	if (fd < 0)
		return;
	report->max_fd = openat(fd, "memory.max", O_RDWR | O_CLOEXEC);
	if (report->max_fd < 0)
		return;
	report->current_fd = openat(fd, "memory.current", O_RDONLY | O_CLOEXEC);
	report->swap_fd = openat(fd, "memory.swap.max", O_RDWR | O_CLOEXEC);
	report->group_fd = openat(fd, "memory.oom.group", O_RDWR | O_CLOEXEC);
}

static int read_value(int fd, char out[VALUE_MAX])
{
	ssize_t n = fd < 0 ? -1 : pread(fd, out, VALUE_MAX - 1, 0);

	if (n < 0)
		return -1;
	out[n] = '\0';
	return 0;
}

static int write_value(int fd, const char *value)
{
	return pwrite(fd, value, strlen(value), 0) < 0 ? -1 : 0;
}

/* Of all in the cgroup it has the most, and asks for more: it is who gets killed. */
static void __attribute__((noreturn)) be_victim(int go_fd)
{
	char *memory =
		mmap(NULL, VICTIM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char byte;

	if (memory == MAP_FAILED || read(go_fd, &byte, 1) != 1)
		_exit(1);
	for (size_t at = 0; at < VICTIM_BYTES; at += 4096)
		memory[at] = 1;
	_exit(1);
}

static void await(pid_t pid, int pid_fd)
{
	struct pollfd ended = { .fd = pid_fd, .events = POLLIN };
	int status = 0;

	if (poll(&ended, 1, PATIENCE_MS) <= 0)
		pidfd_send_signal(pid_fd, SIGKILL, NULL, 0);
	if (waitpid(pid, &status, 0) == pid && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
		log_debug("the host's cgroup does not count the container's end: its memory was not to be used up");
}

/* Values to be set meanwhile, and what they were. */
struct setting {
	int fd;
	char value[VALUE_MAX], before[VALUE_MAX];
};

static void use_up(const struct setting *settings, size_t count)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	auto_fd int wait_fd = ends[0];
	auto_fd int go_fd = ends[1];
	auto_fd int pid_fd = -1;
	/* Not fork: the confined proxy may make such a child, and reach it through this descriptor, but no other. */
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD | CLONE_PIDFD, NULL, &pid_fd, NULL, NULL);
	if (pid == 0)
		be_victim(wait_fd);
	bool is_set = pid > 0;
	for (size_t i = 0; i < count && is_set; i++)
		is_set = settings[i].fd < 0 || write_value(settings[i].fd, settings[i].value) == 0;
	if (is_set)
		is_set = write(go_fd, "g", 1) == 1;
	close_fd(&go_fd); /* the end of it, if it never began */
	if (pid > 0)
		await(pid, pid_fd);
	if (!is_set)
		log_debug("the host's cgroup does not count the container's end: %s", strerror(errno));
}

void oom_report(const struct oom_report *report)
{
	struct setting settings[] = {
		{ .fd = report->group_fd, .value = "0" }, /* the victim alone */
		{ .fd = report->swap_fd, .value = "0" },
		{ .fd = report->max_fd },
	};
	size_t count = sizeof settings / sizeof *settings;
	char current[VALUE_MAX];

	if (report->max_fd < 0 || read_value(report->current_fd, current) < 0)
		return;
	snprintf(settings[count - 1].value, VALUE_MAX, "%llu", strtoull(current, NULL, 10) + ROOM_BYTES);
	for (size_t i = 0; i < count; i++) {
		if (read_value(settings[i].fd, settings[i].before) < 0)
			settings[i].before[0] = '\0';
	}
	use_up(settings, count);
	for (size_t i = count; i-- > 0;) {
		if (settings[i].before[0])
			write_value(settings[i].fd, settings[i].before);
	}
}
