/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - the `bulkhead` command line: global options, the table of verbs, and the one place where errors are printed.
 *
 * bulkhead [GLOBAL OPTIONS] VERB [OPTIONS] [OPERANDS]
 *
 * A failure is one line on standard error and, with --log, one record in that file: engines read the last error there,
 * and Podman the whole file as one JSON value, so nothing else goes into it unless --debug asks for it.
 */
#include "runtime/command.h"
#include "runtime/statedir.h"
#include "runtime/trace.h"
#include "runtime/version.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include "oci/features.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As users meet them: first what a person tries, then the life of a container, then looking at it. */
static const struct command *const commands[] = {
	&cmd_check,   &cmd_do,    &cmd_spec,     &cmd_run,        &cmd_create,  &cmd_start, &cmd_exec,     &cmd_kill,
	&cmd_delete,  &cmd_pause, &cmd_resume,   &cmd_update,     &cmd_state,   &cmd_list,  &cmd_ps,       &cmd_events,
	&cmd_metrics, &cmd_debug, &cmd_features, &cmd_checkpoint, &cmd_restore, &cmd_fork,  &cmd_template,
};

static const struct option global_options[] = {
	{ "root", 0, OPTION_TEXT, offsetof(struct globals, root), "DIR",
	  "where containers' state is kept (default: /run/bulkhead)" },
	{ "log", 0, OPTION_TEXT, offsetof(struct globals, log), "FILE", "append errors to this file, too" },
	{ "log-format", 0, OPTION_TEXT, offsetof(struct globals, log_format), "text|json",
	  "format of that file (default: text)" },
	{ "debug", 0, OPTION_FLAG, offsetof(struct globals, debug), NULL, "log what happens, not only errors" },
	{ "systemd-cgroup", 0, OPTION_FLAG, offsetof(struct globals, systemd_cgroup), NULL,
	  "linux.cgroupsPath is SLICE:PREFIX:NAME" },
	{ "cgroup-manager", 0, OPTION_TEXT, offsetof(struct globals, cgroup_manager), "NAME",
	  "cgroupfs, systemd or disabled" },
	{ "rootless", 0, OPTION_TEXT, offsetof(struct globals, rootless), "auto|true|false",
	  "run without root's rights (default: auto)" },
	{ "trace", 0, OPTION_TEXT, offsetof(struct globals, trace), "FILE",
	  "write the phases of this command, for chrome://tracing" },
	{ "criu", 0, OPTION_IGNORED, 0, NULL, NULL },
	{ "version", 'v', OPTION_FLAG, offsetof(struct globals, version), NULL, "print the version" },
	OPTION_END,
};

static void print_usage(FILE *out)
{
	fprintf(out, "bulkhead runs OCI containers, each in a virtual machine of its own.\n\n"
		     "usage: bulkhead [GLOBAL OPTIONS] VERB [OPTIONS] [OPERANDS]\n\nverbs:\n");
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		fprintf(out, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
	fprintf(out, "\nglobal options:\n");
	options_print(global_options, out);
	fprintf(out, "\nbulkhead VERB --help says more.\n");
}

static void print_command_usage(const struct command *command)
{
	printf("bulkhead %s - %s\n\nusage: bulkhead [GLOBAL OPTIONS] %s [OPTIONS]%s%s\n", command->name,
	       command->summary, command->name, *command->operands ? " " : "", command->operands);
	if (command->options) {
		printf("\noptions:\n");
		options_print(command->options, stdout);
	}
}

static int print_version(void)
{
	printf("bulkhead version %s\ncommit: %s\nspec: %s\n", version_text, version_commit, OCI_VERSION_MAX);
	return 0;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	}
	return NULL;
}

/* A file opened as 0, 1 or 2 by accident would become a container's standard stream. */
static int fill_standard_fds(struct err *err)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
			return err_set_errno(err, "/dev/null");
	}
	return 0;
}

static int open_log(struct globals *globals, struct err *err)
{
	bool json = globals->log_format && strcmp(globals->log_format, "json") == 0;

	if (globals->log_format && !json && strcmp(globals->log_format, "text") != 0)
		return err_set(err, EINVAL, "--log-format: \"%s\" is neither text nor json", globals->log_format);
	if (!globals->log) {
		log_setup("bulkhead", STDERR_FILENO, json ? LOG_JSON : LOG_TEXT, globals->debug ? LOG_DEBUG : LOG_WARN);
		return 0;
	}
	/* crun's form of it. */
	if (strncmp(globals->log, "file:", 5) == 0)
		globals->log += 5;
	globals->log_fd = open(globals->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (globals->log_fd < 0)
		return err_set_errno(err, "--log: %s", globals->log);
	log_setup("bulkhead", globals->log_fd, json ? LOG_JSON : LOG_TEXT, globals->debug ? LOG_DEBUG : LOG_ERROR);
	return 0;
}

/* Where the user sees it, and where the engine looks for it. */
static void report(const struct globals *globals, const struct err *err)
{
	if (globals->log_fd >= 0)
		dprintf(STDERR_FILENO, "bulkhead: %s\n", err->text);
	log_error("%s", err->text);
}

static int check_operands(const struct command *command, int count, struct err *err)
{
	if (count >= command->operands_min && (command->operands_max < 0 || count <= command->operands_max))
		return 0;
	return err_set(err, EINVAL, "usage: bulkhead %s [OPTIONS] %s", command->name, command->operands);
}

static int run_command(const struct globals *globals, const struct command *command, int argc, char **argv,
		       struct err *err)
{
	static const struct option no_options[] = { OPTION_END };
	const struct option *table = command->options ? command->options : no_options;
	auto_free char **operands = calloc((size_t)argc + 1, sizeof *operands);
	auto_free void *options = calloc(1, command->options_size + 1);
	int count, result;
	bool help;

	if (!operands || !options)
		return err_set(err, ENOMEM, "out of memory");
	result = options_parse(table, options, argc, argv, command->stops_at_operand, operands, &count, &help, err);
	if (result == 0 && help) {
		print_command_usage(command);
	} else if (result == 0) {
		struct invocation invocation = {
			.globals = globals,
			.options = options,
			.operand_count = count,
			.operands = operands,
		};

		result = check_operands(command, count, err);
		if (result == 0)
			result = command->run(&invocation, err);
	}
	options_release(table, options);
	return result;
}

static int run(struct globals *globals, int argc, char **argv, int *failure_status, struct err *err)
{
	auto_free char **operands = calloc((size_t)argc, sizeof *operands);
	int count;
	bool help;

	if (!operands)
		return err_set(err, ENOMEM, "out of memory");
	if (options_parse(global_options, globals, argc - 1, argv + 1, true, operands, &count, &help, err) < 0)
		return -1;
	if (globals->version)
		return print_version();
	if (help || count == 0) {
		print_usage(help ? stdout : stderr);
		return help ? 0 : 1;
	}
	if (open_log(globals, err) < 0)
		return -1;
	const struct command *command = find_command(operands[0]);
	if (!command) {
		*failure_status = 3;
		return err_set(err, EINVAL, "unknown verb \"%s\"; bulkhead --help lists them", operands[0]);
	}
	if (command->failure_status)
		*failure_status = command->failure_status;
	if (!command->stateless && statedir_default_root(&globals->root, err) < 0)
		return -1;
	trace_open(globals->trace);
	int result = run_command(globals, command, count - 1, operands + 1, err);
	return trace_close(err) < 0 ? -1 : result;
}

int main(int argc, char **argv)
{
	struct globals globals = { .log_fd = -1 };
	struct err err = ERR_INIT;
	int failure_status = 1;

	umask(022); /* whatever the engine has: modes of our files are chosen where they are made */
	signal(SIGPIPE, SIG_IGN);
	int status = fill_standard_fds(&err);
	if (status == 0)
		status = run(&globals, argc, argv, &failure_status, &err);
	if (status == 0 && fflush(stdout) != 0)
		status = err_set_errno(&err, "standard output");
	if (status >= 0)
		return status;
	report(&globals, &err);
	return failure_status;
}
