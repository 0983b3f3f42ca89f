/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/interrupt.h"

#include "common/err.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>

static int caught_fd = -1;

int interrupt_catch(struct err *err)
{
	sigset_t set;

	if (caught_fd >= 0)
		return 0;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	caught_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (caught_fd < 0)
		return err_set_errno(err, "cannot wait for signals");
	sigprocmask(SIG_BLOCK, &set, NULL);
	return 0;
}

int interrupt_fd(void)
{
	return caught_fd;
}

int interrupt_error(struct err *err)
{
	return err_set(err, EINTR, "interrupted");
}
