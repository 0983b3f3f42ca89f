/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_ps.c - with --format json the pids of the host's processes that stand for the container's (engines give them to
 * the host's ps); as a table the processes in the guest, which is what a person wants to see.
 */
#include "runtime/agent_client.h"
#include "runtime/command.h"
#include "runtime/container.h"
#include "runtime/plain_text.h"
#include "runtime/exec_record.h"

#include "common/err.h"
#include "common/proto.h"

#include "agent.pb.h"

#include <errno.h>
#include <inttypes.h>
#include <pb_decode.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { PIDS_MAX = 4096 };

struct ps_options {
	const char *format;
};

/* Which of ps's forms, by the options after the id. Others of these options change nothing. */
enum ps_form {
	PS_FULL,  /* -f, or none */
	PS_SHORT, /* -e, -A: without f */
	PS_BSD,   /* x, -x */
};

static const struct option options[] = {
	{ "format", 'f', OPTION_TEXT, offsetof(struct ps_options, format), "table|json", "how (default: table)" },
	OPTION_END,
};

static void print_json(const struct container *container)
{
	static pid_t pids[PIDS_MAX];
	size_t count;

	if (container->status == OCI_STATUS_STOPPED) {
		puts("[]");
		return;
	}
	count = exec_record_read(container->dirfd, pids, PIDS_MAX);
	printf("[%d", (int)container->store->pid);
	for (size_t i = 0; i < count; i++)
		printf(",%d", (int)pids[i]);
	printf("]\n");
}

static enum ps_form form_of(char *const *words, size_t count)
{
	enum ps_form form = PS_FULL;

	for (size_t i = 0; i < count; i++) {
		const char *letters = words[i] + (words[i][0] == '-');

		if (!letters[0] || letters[strspn(letters, "aAedfTx")])
			return PS_FULL;
		if (strchr(letters, 'f'))
			return PS_FULL;
		if (form != PS_BSD)
			form = strchr(letters, 'x') ? PS_BSD : PS_SHORT;
	}
	return form;
}

/* The guest's words: control characters must not reach the user's terminal. */
static void print_command_line(char *command)
{
	if (command)
		plain_text(command);
	puts(command ? command : "");
}

static void print_header(enum ps_form form)
{
	if (form == PS_BSD) {
		printf("%7s %-8s %-4s %6s %s\n", "PID", "TTY", "STAT", "TIME", "COMMAND");
		return;
	}
	if (form == PS_SHORT) {
		printf("%7s %-8s %8s %s\n", "PID", "TTY", "TIME", "CMD");
		return;
	}
	printf("%-10s %7s %7s %2s %-5s %-8s %8s %s\n", "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD");
}

/* The parent as the container sees it; 0 if it is outside, as for the first process. */
static int32_t parent_of(const agent_PsReply *reply, const agent_PsReply_Entry *process)
{
	for (pb_size_t i = 0; i < reply->processes_count; i++) {
		if (reply->processes[i].pid == process->parent)
			return reply->processes[i].container_pid;
	}
	return 0;
}

static void print_terminal(uint32_t device)
{
	char name[16] = "?";

	/* proc_pid_stat(5): minor in bits 0 to 7 and 20 to 31, major in 8 to 15; 136 and on are pts/0, pts/256, ... */
	uint32_t major = device >> 8 & 0xff, minor = (device & 0xff) | (device >> 12 & 0xfff00);
	if (major >= 136 && major <= 143)
		snprintf(name, sizeof name, "pts/%u", (major - 136) * 256 + minor);
	printf("%-8s ", name);
}

static void print_short(const agent_PsReply_Entry *process, enum ps_form form)
{
	uint64_t seconds = process->cpu_ms / 1000;

	printf("%7d ", process->container_pid);
	print_terminal(process->tty);
	if (form == PS_BSD) {
		if (process->state)
			plain_text(process->state);
		printf("%-4s %3" PRIu64 ":%02u ", process->state ? process->state : "?", seconds / 60,
		       (unsigned)(seconds % 60));
	} else {
		printf("%02" PRIu64 ":%02u:%02u ", seconds / 3600, (unsigned)(seconds / 60 % 60),
		       (unsigned)(seconds % 60));
	}
	print_command_line(process->command);
}

/* The columns of ps -f, which people and their scripts know. A name of the host's for an id of the guest's would lie.
 */
static void print_process(const agent_PsReply *reply, const agent_PsReply_Entry *process)
{
	time_t start = time(NULL) - (time_t)(process->age_ms / 1000);
	uint64_t used = process->age_ms ? process->cpu_ms * 100 / process->age_ms : 0;
	uint64_t seconds = process->cpu_ms / 1000;
	char user[16] = "root", clock[8] = "?";
	struct tm local;

	if (process->uid)
		snprintf(user, sizeof user, "%u", process->uid);
	if (localtime_r(&start, &local))
		strftime(clock, sizeof clock, "%H:%M", &local);
	printf("%-10s %7d %7d %2u %-5s ", user, process->container_pid, parent_of(reply, process),
	       (unsigned)(used < 99 ? used : 99), clock);
	print_terminal(process->tty);
	printf("%02" PRIu64 ":%02u:%02u ", seconds / 3600, (unsigned)(seconds / 60 % 60), (unsigned)(seconds % 60));
	print_command_line(process->command);
}

static int print_table(const struct container *container, enum ps_form form, struct err *err)
{
	agent_ContainerRequest request = { .container = container->id };
	agent_PsReply reply = agent_PsReply_init_zero;
	struct agent_client agent;

	if (container->status == OCI_STATUS_STOPPED) {
		print_header(form);
		return 0;
	}
	if (container->status == OCI_STATUS_PAUSED)
		return err_set(err, EBUSY,
			       "container %s is paused and cannot be asked; ps --format json can do without",
			       container->id);
	if (agent_client_open(&agent, container->dirfd, AGENT_TIMEOUT_MS, err) < 0)
		return -1;
	int result = agent_client_call(&agent, PROTO_PS, agent_ContainerRequest_fields, &request, agent_PsReply_fields,
				       &reply, AGENT_TIMEOUT_MS, err);
	agent_client_close(&agent);
	if (result < 0)
		return -1;
	print_header(form);
	for (pb_size_t i = 0; i < reply.processes_count; i++) {
		if (form == PS_FULL)
			print_process(&reply, &reply.processes[i]);
		else
			print_short(&reply.processes[i], form);
	}
	pb_release(agent_PsReply_fields, &reply);
	return 0;
}

static int run(const struct invocation *invocation, struct err *err)
{
	const struct ps_options *given = invocation->options;
	bool json = given->format && strcmp(given->format, "json") == 0;
	struct container container;

	if (given->format && !json && strcmp(given->format, "table") != 0)
		return err_set(err, EINVAL, "--format: \"%s\" is neither table nor json", given->format);
	int result = container_open(&container, invocation->globals, invocation->operands[0], false, err);
	if (result == 0)
		result = lifecycle_check(container.id, container.status, LIFECYCLE_PS, err);
	if (result == 0 && json)
		print_json(&container);
	else if (result == 0)
		result = print_table(&container,
				     form_of(invocation->operands + 1, (size_t)invocation->operand_count - 1), err);
	container_close(&container);
	return result;
}

const struct command cmd_ps = {
	.name = "ps",
	.operands = "ID [PS-OPTION...]",
	.summary = "list a container's processes",
	.run = run,
	.options = options,
	.options_size = sizeof(struct ps_options),
	.operands_min = 1,
	.operands_max = -1,
	.stops_at_operand = true, /* ps's own options */
};
