/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/oom_report.h"

#include "runtime/host_cgroup.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The victim takes memory until it is killed. What of the cgroup's is cache the kernel gives it first, so there has to
 * be an end to it.
 */
#define VICTIM_BYTES (1ull << 30)
#define ROOM_BYTES (1ull << 20)
enum { PATIENCE_MS = 5000, VALUE_MAX = 32 };

int oom_report_open(void)
{
	struct err ignored = ERR_INIT;
	auto_fd int fd = host_cgroup_open_own(&ignored);

	if (fd < 0 || faccessat(fd, "memory.max", W_OK, 0) < 0)
		return -1;
	return take_fd(&fd);
}

static int read_value(int dirfd, const char *name, char out[VALUE_MAX])
{
	auto_fd int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, VALUE_MAX - 1);

	if (n < 0)
		return -1;
	out[n] = '\0';
	return 0;
}

static int write_value(int dirfd, const char *name, const char *value)
{
	auto_fd int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, value, strlen(value)) < 0 ? -1 : 0;
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

static void await(pid_t pid)
{
	auto_fd int pid_fd = pidfd_open(pid, 0);
	struct pollfd ended = { .fd = pid_fd, .events = POLLIN };
	int status = 0;

	if (pid_fd < 0 || poll(&ended, 1, PATIENCE_MS) <= 0)
		kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) == pid && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
		log_debug("the host's cgroup does not count the container's end: its memory was not to be used up");
}

/* Names and values to be set meanwhile, and what they were. */
struct setting {
	const char *name;
	char value[VALUE_MAX], before[VALUE_MAX];
};

static void use_up(int cgroup_fd, struct setting *settings, size_t count)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	auto_fd int wait_fd = ends[0];
	auto_fd int go_fd = ends[1];
	pid_t pid = fork();
	if (pid == 0)
		be_victim(wait_fd);
	bool is_set = pid > 0;
	for (size_t i = 0; i < count && is_set; i++)
		is_set = write_value(cgroup_fd, settings[i].name, settings[i].value) == 0 || errno == ENOENT;
	if (is_set)
		is_set = write(go_fd, "g", 1) == 1;
	close_fd(&go_fd); /* the end of it, if it never began */
	if (pid > 0)
		await(pid);
	if (!is_set)
		log_debug("the host's cgroup does not count the container's end: %s", strerror(errno));
}

void oom_report(int cgroup_fd)
{
	struct setting settings[] = {
		{ .name = "memory.oom.group", .value = "0" }, /* the victim alone */
		{ .name = "memory.swap.max", .value = "0" },
		{ .name = "memory.max" },
	};
	size_t count = sizeof settings / sizeof *settings;
	char current[VALUE_MAX];

	if (cgroup_fd < 0 || read_value(cgroup_fd, "memory.current", current) < 0)
		return;
	snprintf(settings[count - 1].value, VALUE_MAX, "%llu", strtoull(current, NULL, 10) + ROOM_BYTES);
	for (size_t i = 0; i < count; i++) {
		if (read_value(cgroup_fd, settings[i].name, settings[i].before) < 0)
			settings[i].before[0] = '\0';
	}
	use_up(cgroup_fd, settings, count);
	for (size_t i = count; i-- > 0;) {
		if (settings[i].before[0])
			write_value(cgroup_fd, settings[i].name, settings[i].before);
	}
}
