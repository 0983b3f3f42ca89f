/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/signals.h"

#include "common/err.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SIGNAL_MAX = 64 };

static const struct {
	const char *name;
	int number;
} names[] = {
	{ "HUP", SIGHUP },   { "INT", SIGINT },   { "QUIT", SIGQUIT },     { "ILL", SIGILL },   { "TRAP", SIGTRAP },
	{ "ABRT", SIGABRT }, { "IOT", SIGIOT },   { "BUS", SIGBUS },       { "FPE", SIGFPE },   { "KILL", SIGKILL },
	{ "USR1", SIGUSR1 }, { "SEGV", SIGSEGV }, { "USR2", SIGUSR2 },     { "PIPE", SIGPIPE }, { "ALRM", SIGALRM },
	{ "TERM", SIGTERM }, { "CHLD", SIGCHLD }, { "STKFLT", SIGSTKFLT }, { "CLD", SIGCHLD },  { "CONT", SIGCONT },
	{ "STOP", SIGSTOP }, { "TSTP", SIGTSTP }, { "TTIN", SIGTTIN },     { "TTOU", SIGTTOU }, { "URG", SIGURG },
	{ "XCPU", SIGXCPU }, { "XFSZ", SIGXFSZ }, { "VTALRM", SIGVTALRM }, { "PROF", SIGPROF }, { "WINCH", SIGWINCH },
	{ "IO", SIGIO },     { "POLL", SIGIO },   { "PWR", SIGPWR },       { "SYS", SIGSYS },
};

/* The kernel's first real-time signal a program may use; SIGRTMIN of the C library at hand may differ (musl's does). */
enum { RTMIN = 34, RTMAX = 64 };

/* "RTMIN", "RTMIN+n", "RTMAX", "RTMAX-n", or -1. */
static int parse_realtime(const char *text)
{
	bool from_min = strncasecmp(text, "RTMIN", 5) == 0;
	char *end;

	if (!from_min && strncasecmp(text, "RTMAX", 5) != 0)
		return -1;
	text += 5;
	if (!*text)
		return from_min ? RTMIN : RTMAX;
	if (*text != (from_min ? '+' : '-') || text[1] < '0' || text[1] > '9')
		return -1;
	long offset = strtol(text + 1, &end, 10);
	if (*end || offset > RTMAX - RTMIN)
		return -1;
	return from_min ? RTMIN + (int)offset : RTMAX - (int)offset;
}

int signal_parse(const char *text, struct err *err)
{
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	char *end;

	if (*text >= '0' && *text <= '9') {
		long number = strtol(text, &end, 10);

		if (*end == '\0' && number <= SIGNAL_MAX)
			return (int)number;
	}
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (strcasecmp(names[i].name, name) == 0)
			return names[i].number;
	}
	int number = parse_realtime(name);
	if (number >= 0)
		return number;
	return err_set(err, EINVAL, "unknown signal \"%s\"", text);
}

void signal_forwardable(sigset_t *set)
{
	sigfillset(set);
	sigdelset(set, SIGKILL);
	sigdelset(set, SIGSTOP);
	sigdelset(set, SIGCHLD);
	sigdelset(set, SIGPIPE);
}

void signal_reset_all(void)
{
	sigset_t none;

	for (int i = 1; i <= SIGNAL_MAX; i++)
		signal(i, SIG_DFL); /* fails for KILL, STOP and the C library's own, which is fine */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}
