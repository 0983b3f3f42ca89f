/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.h - what a verb of the command line is, and the list of them.
 *
 * main parses the options into the verb's own struct by its table, checks the number of operands and calls `run`,
 * which returns the exit status, or -1 with the error set. main prints the error.
 */
#ifndef BULKHEAD_RUNTIME_COMMAND_H
#define BULKHEAD_RUNTIME_COMMAND_H

#include "runtime/options.h"

#include <stdbool.h>
#include <stddef.h>

struct err;

/* The options before the verb. */
struct globals {
	const char *root; /* where the state directories are; NULL only for a stateless verb */
	const char *log, *log_format;
	const char *rootless, *cgroup_manager;
	const char *trace;
	bool debug, systemd_cgroup, version;
	int log_fd; /* of --log, -1 without */
};

struct invocation {
	const struct globals *globals;
	const void *options; /* the verb's struct */
	int operand_count;
	char **operands;
};

struct command {
	const char *name;
	const char *operands; /* for the help: "ID" */
	const char *summary;
	int (*run)(const struct invocation *invocation, struct err *err);
	const struct option *options; /* NULL: none */
	size_t options_size;
	int operands_min, operands_max; /* max -1: any number */
	bool stops_at_operand;          /* what follows the first operand is the container's */
	bool stateless;                 /* has to do with no container: works where there is no place for one */
	int failure_status;             /* 0: 1 */
};

extern const struct command cmd_check, cmd_checkpoint, cmd_create, cmd_debug, cmd_delete, cmd_do, cmd_events, cmd_exec,
	cmd_features, cmd_fork, cmd_kill, cmd_list, cmd_metrics, cmd_pause, cmd_ps, cmd_restore, cmd_resume, cmd_run,
	cmd_spec, cmd_start, cmd_state, cmd_template, cmd_update;

#endif
