/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/power.h"

#include "common/auto.h"
#include "common/bulkhead_uapi.h"
#include "common/err.h"
#include "common/log.h"
#include "common/sandbox_regs.h"
#include "guest-agent/agent.h"
#include "guest-agent/container.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>

enum { LAST_PROCESSES_SECONDS = 3 };

void power_stamp(const struct agent *agent, uint32_t stamp)
{
	if (agent->sandbox_fd >= 0 && ioctl(agent->sandbox_fd, BULKHEAD_IOC_STAMP, &stamp) < 0)
		log_debug("stamp %u: %s", stamp, strerror(errno));
}

static void __attribute__((noreturn)) off(const struct agent *agent, enum sandbox_off_reason reason, const char *text)
{
	struct bulkhead_power_off request = {
		.reason = (uint32_t)reason,
		.text = (uintptr_t)text,
		.text_length = (uint32_t)strlen(text),
	};

#ifdef AGENT_TEST
	(void)agent;
	(void)request;
	_exit(reason == SANDBOX_OFF_CLEAN ? 0 : 1);
#else
	if (agent->sandbox_fd >= 0)
		ioctl(agent->sandbox_fd, BULKHEAD_IOC_POWER_OFF, &request);
	/* No device, or it did not take it. A reset, which the monitor sees as the end in any case. */
	reboot(reason == SANDBOX_OFF_CLEAN ? RB_POWER_OFF : RB_AUTOBOOT);
	/*
	 * Not allowed to: then this is not the guest's first process but a container's, whose image has named
	 * /proc/self/exe as the interpreter of a script. For the real one this is a panic, which ends the VM as well.
	 */
	_exit(127);
#endif
}

/* Until nobody is left, but not for ever: a process that waits for a file on a share may not go away. */
static void reap_all(void)
{
	struct timespec patience = { .tv_sec = LAST_PROCESSES_SECONDS };
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	for (;;) {
		pid_t pid;

		do {
			pid = waitpid(-1, NULL, WNOHANG);
		} while (pid > 0);
		if (pid < 0 || sigtimedwait(&child, NULL, &patience) < 0)
			return;
	}
}

void power_off(struct agent *agent)
{
	char shares[256];

	container_kill_everything(agent);
#ifndef AGENT_TEST
	kill(-1, SIGKILL);
#endif
	reap_all();
	snprintf(shares, sizeof shares, "%s/shares", agent->run_dir);
	if (agent->finished_boot) {
#ifndef AGENT_TEST
		/*
		 * No sync: it would flush whole file systems of the host, for as long as that takes, and the end of a
		 * container waits for no disk. There is no write-back cache; pages changed through mappings were
		 * written when the mappings went with their processes, and what is left is when the share goes.
		 */
		if (umount2(shares, 0) < 0)
			log_debug("unmounting the shares: %s", strerror(errno));
#endif
	}
	off(agent, SANDBOX_OFF_CLEAN, "");
}

void power_off_failed(const struct agent *agent, const struct err *err)
{
	auto_fd int kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	char text[ERR_TEXT_MAX + 32];

	snprintf(text, sizeof text, "bulkhead-agent: %s", err->text);
	if (kmsg >= 0)
		dprintf(kmsg, "<2>%s\n", text);
#ifdef AGENT_TEST
	fprintf(stderr, "%s\n", text);
#endif
	off(agent, SANDBOX_OFF_AGENT, text);
}
