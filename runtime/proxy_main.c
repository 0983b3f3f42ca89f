/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_main.c - bulkhead-proxy: the host process that stands for one process of a container.
 *
 * bulkhead-proxy --container ID [--exec ID | --adopt] --state-fd N --request-fd N --sync-fd N [--terminal-fd N]
 *                [--log-fd N] [--root-fd N] [--last-words-fd N] [--preserved-fds COUNT] [--notify-fd N]
 *                [--selinux-label CONTEXT]
 *                [--watch-network [--vhost-net] [--resolv-fd N]] [--own-cgroup] [--log-format json] [--debug]
 *                [-- MONITOR ARGUMENT...]
 *
 * Its pid is the one the engine watches: it has the container's standard streams, gets its signals, ends as it ends.
 * Started by `bulkhead` alone, which has put it into its session, cgroup and network namespace (runtime/spawn.h). With
 * a monitor behind "--" it is a container's first process and starts the VM; without, it is an exec or a pod's member
 * in a running one.
 */
#include "runtime/oom_report.h"
#include "runtime/options.h"
#include "runtime/proxy_monitor.h"
#include "runtime/proxy_session.h"
#include "runtime/sync.h"

#include "common/err.h"
#include "common/log.h"
#include "common/proto.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct arguments {
	const char *container, *exec, *log_format, *selinux_label;
	struct option_number state_fd, request_fd, sync_fd, terminal_fd, log_fd, root_fd, resolv_fd, preserved_fds;
	struct option_number last_words_fd, notify_fd;
	bool adopt, debug, watch_network, vhost_net, own_cgroup;
};

#define FD_OPTION(name, member)                                                     \
	{                                                                           \
		name, 0, OPTION_NUMBER, offsetof(struct arguments, member), "N", "" \
	}

static const struct option options[] = {
	{ "container", 0, OPTION_TEXT, offsetof(struct arguments, container), "ID", "" },
	{ "exec", 0, OPTION_TEXT, offsetof(struct arguments, exec), "ID", "" },
	{ "log-format", 0, OPTION_TEXT, offsetof(struct arguments, log_format), "json", "" },
	{ "selinux-label", 0, OPTION_TEXT, offsetof(struct arguments, selinux_label), "CONTEXT", "" },
	{ "debug", 0, OPTION_FLAG, offsetof(struct arguments, debug), NULL, "" },
	{ "adopt", 0, OPTION_FLAG, offsetof(struct arguments, adopt), NULL, "" },
	FD_OPTION("state-fd", state_fd),
	FD_OPTION("request-fd", request_fd),
	FD_OPTION("sync-fd", sync_fd),
	FD_OPTION("terminal-fd", terminal_fd),
	FD_OPTION("log-fd", log_fd),
	FD_OPTION("root-fd", root_fd),
	FD_OPTION("resolv-fd", resolv_fd),
	FD_OPTION("last-words-fd", last_words_fd),
	FD_OPTION("notify-fd", notify_fd),
	FD_OPTION("preserved-fds", preserved_fds),
	{ "watch-network", 0, OPTION_FLAG, offsetof(struct arguments, watch_network), NULL, "" },
	{ "own-cgroup", 0, OPTION_FLAG, offsetof(struct arguments, own_cgroup), NULL, "" },
	{ "vhost-net", 0, OPTION_FLAG, offsetof(struct arguments, vhost_net), NULL, "" },
	OPTION_END,
};

static int fd_of(const struct option_number *number)
{
	return number->given ? (int)number->value : -1;
}

static void report(int sync_fd, const struct err *err)
{
	struct sync_message message = { .kind = SYNC_FAILED, .code = (uint32_t)err->code };

	memcpy(message.text, err->text, sizeof message.text);
	sync_send(sync_fd, &message);
}

/* Ends as the process ended, so that whoever waits for us sees what it would have seen. Does not return. */
static void end_like(int wait_status)
{
	struct rlimit no_core = { 0, 0 };

	if (WIFSIGNALED(wait_status)) {
		int number = WTERMSIG(wait_status);
		sigset_t set;

		/* The signal, not its core: that one would be ours. */
		setrlimit(RLIMIT_CORE, &no_core);
		prctl(PR_SET_DUMPABLE, 0);
		signal(number, SIG_DFL);
		sigemptyset(&set);
		sigaddset(&set, number);
		sigprocmask(SIG_UNBLOCK, &set, NULL);
		raise(number);
		_exit(128 + number); /* one that does not kill by default */
	}
	_exit(WEXITSTATUS(wait_status));
}

/* See runtime/exec_record.h. */
static void remove_record(const struct session_settings *settings)
{
	char name[256];

	if (!*settings->exec)
		return;
	if (session_records_fd() >= 0)
		unlinkat(session_records_fd(), settings->exec, 0);
	else if ((size_t)snprintf(name, sizeof name, "exec/%s", settings->exec) < sizeof name)
		unlinkat(settings->state_fd, name, 0);
}

static int start_monitor(char **arguments, struct session_settings *settings, int log_fd, const char *selinux_label,
			 struct err *err)
{
	int keep[9 + PROTO_MORE_STREAMS_MAX] = {
		settings->state_fd, settings->request_fd, settings->sync_fd,       settings->terminal_fd, log_fd,
		settings->root_fd,  settings->resolv_fd,  settings->last_words_fd, settings->notify_fd
	};
	size_t count = 9;

	for (int i = 0; i < settings->preserved_fds; i++)
		keep[count++] = 3 + i;
	settings->monitor = monitor_start(arguments, keep, count, log_fd, selinux_label, err);
	return settings->monitor ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	struct err err = ERR_INIT;
	char *monitor[argc];
	int monitor_count;
	bool help;

	/* Nobody reads this error: whoever starts us by hand is told what this program is. */
	if (options_parse(options, &arguments, argc - 1, argv + 1, true, monitor, &monitor_count, &help, &err) < 0 ||
	    help || !arguments.container || !arguments.sync_fd.given || !arguments.state_fd.given) {
		fprintf(stderr, "bulkhead-proxy is started by bulkhead, which stands for a container process by it.\n");
		return 1;
	}
	monitor[monitor_count] = NULL;
	signal(SIGPIPE, SIG_IGN);
	bool json = arguments.log_format && strcmp(arguments.log_format, "json") == 0;
	log_setup("bulkhead-proxy", fd_of(&arguments.log_fd), json ? LOG_JSON : LOG_TEXT,
		  arguments.debug ? LOG_DEBUG : LOG_ERROR);
	struct session_settings settings = {
		.container = arguments.container,
		.exec = arguments.exec ? arguments.exec : "",
		.adopts = arguments.adopt,
		.state_fd = fd_of(&arguments.state_fd),
		.request_fd = fd_of(&arguments.request_fd),
		.sync_fd = fd_of(&arguments.sync_fd),
		.terminal_fd = fd_of(&arguments.terminal_fd),
		.root_fd = fd_of(&arguments.root_fd),
		.leaves_mounts = geteuid() == 0,
		.last_words_fd = fd_of(&arguments.last_words_fd),
		.notify_fd = fd_of(&arguments.notify_fd),
		.preserved_fds = arguments.preserved_fds.given ? (int)arguments.preserved_fds.value : 0,
		.watches_network = arguments.watch_network && monitor_count > 0,
		.use_vhost = arguments.vhost_net,
		.resolv_fd = fd_of(&arguments.resolv_fd),
	};
	if (monitor_count > 0 &&
	    start_monitor(monitor, &settings, fd_of(&arguments.log_fd), arguments.selinux_label, &err) < 0) {
		report(settings.sync_fd, &err);
		return 1;
	}
	/* Now: the session leaves the host's mounts. */
	struct oom_report report_of_oom = OOM_REPORT_NONE;

	if (arguments.own_cgroup)
		oom_report_open(&report_of_oom);
	int wait_status = session_run(&settings, &err);
	remove_record(&settings);
	if (wait_status >= 0 && session_was_out_of_memory())
		oom_report(&report_of_oom);
	if (wait_status < 0)
		return 1;
	end_like(wait_status);
}
