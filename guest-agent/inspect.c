/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/inspect.h"

#include "common/err.h"
#include "guest-agent/cgroup.h"
#include "guest-agent/container.h"
#include "guest-agent/errtext.h"
#include "guest-agent/files.h"
#include "guest-agent/process.h"
#include "guest-agent/reply.h"

#include <fcntl.h>
#include <pb_decode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { COMMAND_MAX = 512, STATUS_MAX = 4096, PROCESSES_MAX = 4096 };

struct listing {
	const struct container *container;
	agent_PsReply reply;
	size_t room;
};

/* The last number of the NSpid line: the pid in the innermost namespace. */
static int32_t innermost_pid(const char *status)
{
	const char *line = strstr(status, "\nNSpid:");
	int32_t pid = 0;

	if (!line)
		return 0;
	for (line += strlen("\nNSpid:"); *line && *line != '\n';) {
		char *end;
		long number = strtol(line, &end, 10);

		if (end == line)
			break;
		pid = (int32_t)number;
		line = end;
	}
	return pid;
}

/* The command line with blanks between its arguments; a kernel-style [name] if there is none. */
static char *read_command(pid_t pid)
{
	char path[64], text[COMMAND_MAX], name[64];

	snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
	ssize_t n = file_read_at(AT_FDCWD, path, text, sizeof text);
	while (n > 0 && text[n - 1] == '\0')
		n--;
	for (ssize_t i = 0; i < n; i++) {
		if (text[i] == '\0')
			text[i] = ' ';
	}
	if (n > 0)
		return strdup(text);
	snprintf(path, sizeof path, "/proc/%d/comm", pid);
	if (file_read_at(AT_FDCWD, path, name, sizeof name) < 0)
		return NULL;
	name[strcspn(name, "\n")] = '\0';
	snprintf(text, sizeof text, "[%s]", name);
	return strdup(text);
}

/* A letter for what it does, and those for a low or high priority, a session's leader, threads, the foreground. */
static char *state_letters(char state, int nice, bool leads, bool has_threads, bool is_foreground)
{
	char letters[8];

	snprintf(letters, sizeof letters, "%c%s%s%s%s", state,
		 nice < 0   ? "<"
		 : nice > 0 ? "N"
			    : "",
		 leads ? "s" : "", has_threads ? "l" : "", is_foreground ? "+" : "");
	return strdup(letters);
}

/* State, parent, terminal and times: proc_pid_stat(5), whose second field is in brackets and may have any character. */
static void read_stat(pid_t pid, agent_PsReply_Entry *entry)
{
	unsigned long long user, system, started, hz = (unsigned long long)sysconf(_SC_CLK_TCK);
	char path[64], text[STATUS_MAX];
	struct timespec up;
	int parent, group, session, foreground, nice, threads;
	unsigned tty;
	char state;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	if (file_read_at(AT_FDCWD, path, text, sizeof text) < 0)
		return;
	const char *rest = strrchr(text, ')');
	if (!rest ||
	    sscanf(rest + 1, " %c %d %d %d %u %d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %d %d %*d %llu", &state,
		   &parent, &group, &session, &tty, &foreground, &user, &system, &nice, &threads, &started) != 11)
		return;
	clock_gettime(CLOCK_BOOTTIME, &up);
	unsigned long long up_ms = (unsigned long long)up.tv_sec * 1000 + (unsigned long long)up.tv_nsec / 1000000;
	unsigned long long started_ms = started * 1000 / hz;
	entry->parent = parent;
	entry->tty = tty;
	entry->cpu_ms = (user + system) * 1000 / hz;
	entry->state = state_letters(state, nice, session == pid, threads > 1, foreground == group);
	entry->age_ms = up_ms > started_ms ? up_ms - started_ms : 0;
}

static uint32_t effective_uid(const char *status)
{
	const char *line = strstr(status, "\nUid:");
	unsigned uid = 0;

	if (line)
		sscanf(line, "\nUid: %*u %u", &uid);
	return uid;
}

static const char *exec_of(const struct container *container, pid_t pid)
{
	for (const struct process *process = container->processes; process; process = process->next) {
		if (process->pid == pid && process->stage != PROCESS_ENDED)
			return process->exec;
	}
	return "";
}

static void list_process(void *arg, pid_t pid)
{
	struct listing *listing = arg;
	agent_PsReply *reply = &listing->reply;
	char path[64], status[STATUS_MAX];

	if (reply->processes_count == PROCESSES_MAX)
		return;
	snprintf(path, sizeof path, "/proc/%d/status", pid);
	if (file_read_at(AT_FDCWD, path, status, sizeof status) < 0) /* it has ended meanwhile */
		return;
	if (reply->processes_count == listing->room) {
		size_t room = listing->room ? 2 * listing->room : 16;
		agent_PsReply_Entry *grown = realloc(reply->processes, room * sizeof *grown);

		if (!grown)
			return;
		reply->processes = grown;
		listing->room = room;
	}
	agent_PsReply_Entry *entry = &reply->processes[reply->processes_count++];
	*entry = (agent_PsReply_Entry){
		.pid = pid,
		.uid = effective_uid(status),
		.container_pid = innermost_pid(status),
		.command = read_command(pid),
		.exec = strdup(exec_of(listing->container, pid)),
	};
	read_stat(pid, entry);
}

void inspect_processes(const struct container *container, struct reply *reply)
{
	struct listing listing = { .container = container };
	struct err err = ERR_INIT;

	if (cgroup_processes(&container->cgroup, list_process, &listing) < 0 && listing.reply.processes_count == 0) {
		errtext_set(&err, "listing the processes of the container");
		reply_error(reply, &err);
	} else {
		reply_message(reply, agent_PsReply_fields, &listing.reply);
	}
	pb_release(agent_PsReply_fields, &listing.reply);
}

void inspect_stats(const struct container *container, struct reply *reply)
{
	agent_StatsReply stats = agent_StatsReply_init_zero;

	cgroup_read_stats(&container->cgroup, &stats);
	stats.huge_pages_max = container->huge_bytes;
	reply_message(reply, agent_StatsReply_fields, &stats);
	pb_release(agent_StatsReply_fields, &stats);
}
