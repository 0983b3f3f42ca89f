/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/spawn.h"

#include "runtime/signals.h"
#include "runtime/sync.h"

#include "common/err.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Nothing but what we name gets through exec, whatever was leaked into us without O_CLOEXEC. */
static int choose_fds(const struct spawn *spawn, struct err *err)
{
	if (syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return err_set_errno(err, "close_range");
	for (size_t i = 0; i < spawn->fd_count; i++) {
		if (spawn->fds[i] > 2 && fcntl(spawn->fds[i], F_SETFD, 0) < 0)
			return err_set_errno(err, "cannot pass descriptor %d", spawn->fds[i]);
	}
	return 0;
}

static int set_streams(const struct spawn *spawn, struct err *err)
{
	if (!spawn->null_streams)
		return 0;
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd < 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
		return err_set_errno(err, "/dev/null");
	return 0;
}

static int enter_session(const struct spawn *spawn, struct err *err)
{
	setsid();
	/* SIGWINCH for size changes made at the master goes to the session that has the slave as its terminal. */
	if (spawn->terminal_fd >= 0 && ioctl(spawn->terminal_fd, TIOCSCTTY, 0) < 0)
		return err_set_errno(err, "cannot take the terminal");
	return 0;
}

static int enter_cgroup(const struct spawn *spawn, struct err *err)
{
	if (spawn->cgroup_fd >= 0 && write(spawn->cgroup_fd, "0", 1) != 1)
		return err_set_errno(err, "cannot enter the host cgroup");
	return 0;
}

/* A fresh namespace has its loopback down; everyone who makes one for a container brings it up. */
static void bring_up_loopback(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
		request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
		ioctl(fd, SIOCSIFFLAGS, &request);
	}
	if (fd >= 0)
		close(fd);
}

static int enter_network(const struct spawn *spawn, struct err *err)
{
	if (spawn->network_fd >= 0) {
		if (setns(spawn->network_fd, CLONE_NEWNET) < 0)
			return err_set_errno(err, "cannot enter the network namespace");
	} else if (spawn->new_network) {
		if (unshare(CLONE_NEWNET) < 0)
			return err_set_errno(err, "cannot make a network namespace");
		bring_up_loopback();
	}
	return 0;
}

static int set_oom_score(const struct spawn *spawn, struct err *err)
{
	char text[16];
	int length = snprintf(text, sizeof text, "%d", spawn->oom_score_adj);

	if (!spawn->has_oom_score_adj)
		return 0;
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	/* Lowering it takes a right that only matters to those who have it: the guest's own process gets its value. */
	if (fd < 0 || (write(fd, text, (size_t)length) < 0 && errno != EACCES && errno != EPERM))
		return err_set_errno(err, "/proc/self/oom_score_adj");
	return 0;
}

static void child(const struct spawn *spawn)
{
	struct sync_message message = { .kind = SYNC_FAILED };
	struct err err = ERR_INIT;

	if (enter_session(spawn, &err) == 0 && enter_cgroup(spawn, &err) == 0 && enter_network(spawn, &err) == 0 &&
	    set_oom_score(spawn, &err) == 0 && set_streams(spawn, &err) == 0 && choose_fds(spawn, &err) == 0) {
		signal_reset_all();
		execv(spawn->program, spawn->arguments);
		err_set_errno(&err, "cannot run %s", spawn->program);
	}
	message.code = (uint32_t)err.code;
	memcpy(message.text, err.text, sizeof message.text);
	sync_send(spawn->sync_fd, &message);
	_exit(127);
}

pid_t spawn_proxy(const struct spawn *spawn, struct err *err)
{
	pid_t pid = fork();

	if (pid == 0)
		child(spawn); /* does not return */
	if (pid < 0)
		return err_set_errno(err, "cannot start a process");
	return pid;
}
