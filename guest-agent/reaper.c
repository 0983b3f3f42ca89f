/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/reaper.h"

#include "common/err.h"
#include "common/loop.h"
#include "guest-agent/agent.h"
#include "guest-agent/container.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

struct reaper {
	struct agent *agent;
	int fd;
};

static void child_ended(void *arg, uint32_t events)
{
	const struct reaper *reaper = arg;
	struct signalfd_siginfo info;
	pid_t pid;
	int status;

	(void)events;
	/* One signal may stand for many processes, so the signal is only a reason to look. */
	if (read(reaper->fd, &info, sizeof info) < 0)
		return;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		container_reaped(reaper->agent, pid, status);
}

int reaper_create(struct agent *agent, struct err *err)
{
	struct reaper *reaper = calloc(1, sizeof *reaper);
	sigset_t child;

	if (!reaper)
		return err_set_errno(err, "reaper");
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	*reaper = (struct reaper){ .agent = agent };
	/* Blocked, so that it waits for us in the descriptor. */
	if (sigprocmask(SIG_BLOCK, &child, NULL) == 0)
		reaper->fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (reaper->fd <= 0 || !loop_add_fd(agent->loop, reaper->fd, EPOLLIN, child_ended, reaper)) {
		free(reaper);
		return err_set_errno(err, "watching for the end of processes");
	}
	return 0;
}
