/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_exec.c - one more process in a running container, with a proxy of its own.
 *
 * The process comes from process.json (engines), or is the container's own with another command line and the changes
 * of the options (people).
 */
#include "runtime/command.h"
#include "runtime/container.h"
#include "runtime/exec.h"
#include "runtime/exec_record.h"
#include "runtime/foreground.h"
#include "runtime/frame.h"
#include "runtime/host_cgroup.h"
#include "runtime/interrupt.h"
#include "runtime/paths.h"
#include "runtime/pid_file.h"
#include "runtime/preserved_fds.h"
#include "runtime/start_proxy.h"
#include "runtime/statedir.h"
#include "runtime/terminal.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include "oci/alloc.h"
#include "oci/capabilities.h"
#include "oci/config.h"
#include "oci/describe.h"

#include "agent.pb.h"

#include <errno.h>
#include <fcntl.h>
#include <pb_decode.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

#define EXEC(member) offsetof(struct exec_options, member)

static const struct option options[] = {
	{ "process", 'p', OPTION_TEXT, EXEC(process), "FILE", "the process as JSON" },
	{ "detach", 'd', OPTION_FLAG, EXEC(detach), NULL, "do not wait for its end" },
	{ "tty", 't', OPTION_FLAG, EXEC(tty), NULL, "with a terminal" },
	{ "console-socket", 0, OPTION_TEXT, EXEC(console_socket), "SOCKET", "send the terminal's master there" },
	{ "pid-file", 0, OPTION_TEXT, EXEC(pid_file), "FILE", "write the process id there" },
	{ "pidfd-socket", 0, OPTION_TEXT, EXEC(pidfd_socket), "SOCKET", "send a pidfd there" },
	{ "cwd", 0, OPTION_TEXT, EXEC(cwd), "DIR", "working directory in the container" },
	{ "env", 'e', OPTION_LIST, EXEC(env), "NAME=VALUE", "set in the environment; may be repeated" },
	{ "user", 'u', OPTION_TEXT, EXEC(user), "UID[:GID]", "user and group, as numbers" },
	{ "additional-gids", 'g', OPTION_LIST, EXEC(additional_gids), "GID", "one more group; may be repeated" },
	{ "cap", 'c', OPTION_LIST, EXEC(cap), "CAP_X", "one more capability; may be repeated" },
	{ "no-new-privs", 0, OPTION_FLAG, EXEC(no_new_privs), NULL, "no set-user-id programs" },
	{ "cgroup", 0, OPTION_TEXT, EXEC(cgroup), "PATH", "cgroup below the container's" },
	{ "ignore-paused", 0, OPTION_FLAG, EXEC(ignore_paused), NULL, "wait until a paused container goes on" },
	{ "preserve-fds", 0, OPTION_NUMBER, EXEC(preserve_fds), "N", "descriptors 3, 4, ... to pass on" },
	{ "process-label", 0, OPTION_IGNORED, 0, NULL, NULL },
	{ "apparmor", 0, OPTION_IGNORED, 0, NULL, NULL },
	{ "no-subreaper", 0, OPTION_FLAG, EXEC(no_subreaper), NULL, NULL },
	OPTION_END,
};

struct execution {
	const struct globals *globals;
	const struct exec_options *given;
	struct container container;
	struct oci_config *config;
	struct oci_process *process;
	struct terminal terminal;
	char id[64];
	int request_fd, cgroup_fd, network_fd, sync_fd, log_fd;
	int preserved_fds;
	bool host_has_cgroup; /* the one that --cgroup names */
	pid_t pid;
};

/* ---- which process ---- */

static int parse_id(const char *option, const char *text, char stop, const char **rest, uint32_t *out, struct err *err)
{
	char *end;

	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (errno || end == text || *text == '-' || value > UINT32_MAX - 1 || (*end && *end != stop))
		return err_set(err, EINVAL, "--%s: \"%s\" is not a number of a user or group", option, text);
	*out = (uint32_t)value;
	*rest = *end ? end + 1 : NULL;
	return 0;
}

static int set_user(struct oci_process *process, const struct exec_options *given, struct err *err)
{
	const char *rest = NULL;

	if (given->user) {
		if (parse_id("user", given->user, ':', &rest, &process->uid, err) < 0)
			return -1;
		process->gid = 0;
		if (rest && parse_id("user", rest, '\0', &rest, &process->gid, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < given->additional_gids.count; i++) {
		uint32_t gid;

		if (parse_id("additional-gids", given->additional_gids.items[i], '\0', &rest, &gid, err) < 0)
			return -1;
		process->additional_gids =
			oci_grow(process->additional_gids, process->additional_gid_count, sizeof gid);
		process->additional_gids[process->additional_gid_count++] = gid;
	}
	return 0;
}

/* One that is not known is ignored, as in the configuration. */
static void add_capabilities(struct oci_process *process, const struct option_list *names)
{
	for (size_t i = 0; i < names->count; i++) {
		int number = oci_capability_number(names->items[i]);

		if (number < 0) {
			log_warn("--cap: \"%s\" is not known, ignored", names->items[i]);
			continue;
		}
		process->has_capabilities = true;
		process->capabilities.bounding |= 1ull << number;
		process->capabilities.permitted |= 1ull << number;
		process->capabilities.effective |= 1ull << number;
	}
}

/* NAME=VALUE takes the place of an earlier NAME. */
static void set_env(struct oci_strings *env, const char *item)
{
	size_t name = strcspn(item, "=");

	for (size_t i = 0; i < env->count; i++) {
		if (strncmp(env->items[i], item, name) == 0 && (env->items[i][name] == '=' || !env->items[i][name])) {
			free(env->items[i]);
			env->items[i] = oci_strdup(item);
			return;
		}
	}
	oci_strings_add(env, item);
}

/* Whatever the container may not: the host's administrator wants to look at its VM. */
static void lift_limits(struct oci_process *process, struct oci_config *config)
{
	uint64_t all = (1ull << OCI_CAPABILITY_COUNT) - 1;

	free(process->cwd);
	process->cwd = oci_strdup("/");
	process->uid = process->gid = 0;
	process->additional_gid_count = 0;
	process->has_capabilities = true;
	process->capabilities = (struct oci_capabilities){ .bounding = all, .permitted = all, .effective = all };
	process->no_new_privileges = false;
	config->has_seccomp = false;
}

static int build_process(struct execution *x, int count, char **args, struct err *err)
{
	const struct exec_options *given = x->given;

	if (given->process) {
		if (oci_process_load(given->process, &x->process, err) < 0)
			return -1;
		oci_process_inherit(x->process, &x->config->process);
		x->process->terminal |= given->tty;
		return 0;
	}
	if (count == 0)
		return err_set(err, EINVAL,
			       "usage: bulkhead exec [OPTIONS] ID COMMAND [ARGUMENT...] (or --process FILE)");
	x->process = oci_process_copy(&x->config->process);
	oci_strings_destroy(&x->process->args);
	x->process->args = (struct oci_strings){ 0 };
	for (int i = 0; i < count; i++)
		oci_strings_add(&x->process->args, args[i]);
	x->process->terminal = given->tty;
	x->process->rows = x->process->columns = 0;
	if (given->cwd) {
		if (given->cwd[0] != '/')
			return err_set(err, EINVAL, "--cwd: \"%s\" is not an absolute path", given->cwd);
		free(x->process->cwd);
		x->process->cwd = oci_strdup(given->cwd);
	}
	for (size_t i = 0; i < given->env.count; i++)
		set_env(&x->process->env, given->env.items[i]);
	x->process->no_new_privileges |= given->no_new_privs;
	if (given->debug)
		lift_limits(x->process, x->config);
	if (set_user(x->process, given, err) < 0)
		return -1;
	add_capabilities(x->process, &given->cap);
	return 0;
}

static int check_terminal(const struct execution *x, struct err *err)
{
	const struct exec_options *given = x->given;

	if (x->process->terminal && given->detach && !given->console_socket)
		return err_set(err, EINVAL,
			       "cannot allocate tty if bulkhead will detach without setting console socket");
	if (given->console_socket && (!x->process->terminal || !given->detach))
		return err_set(err, EINVAL, "cannot use console socket if bulkhead will not detach or allocate tty");
	return 0;
}

/* ---- its proxy ---- */

/* Below the container's cgroup, and nowhere else; in runc's words. */
static int check_cgroup(const char *path, struct err *err)
{
	for (const char *part = path; part && *part; part += strcspn(part, "/"), part += *part == '/')
		if (strncmp(part, "..", 2) == 0 && strchr("/", part[2]))
			return err_set(err, EINVAL, "--cgroup: %s is not a sub cgroup path", path);
	return 0;
}

static int encode(struct execution *x, struct err *err)
{
	agent_ExecRequest request = agent_ExecRequest_init_zero;
	auto_free uint8_t *payload = NULL;
	size_t length;

	request.container = oci_strdup(x->container.id);
	request.exec = oci_strdup(x->id);
	request.cgroup = oci_strdup(x->given->cgroup);
	request.has_process = true;
	/* Whoever made it on the host means it, and need not know that there is another tree in the guest. */
	request.make_cgroup = x->host_has_cgroup;
	request.debug = x->given->debug;
	int result = oci_describe_process(x->config, x->process, &request.process, err);
	if (result == 0)
		result = x->preserved_fds = preserved_fds_describe(&x->given->preserve_fds, 0, &request.process, err);
	if (result >= 0)
		result = frame_encode_payload(agent_ExecRequest_fields, &request, &payload, &length, err);
	pb_release(agent_ExecRequest_fields, &request);
	if (result < 0)
		return -1;
	x->request_fd = start_proxy_request_fd(payload, length, err);
	return x->request_fd < 0 ? -1 : 0;
}

/* Into the cgroup and the network namespace where the container's own proxy is. */
static int open_places(struct execution *x, struct err *err)
{
	const struct oci_store *store = x->container.store;
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/ns/net", (int)store->pid);
	x->network_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (x->network_fd < 0)
		return err_set_errno(err, "%s", path);
	/* Without the right to enter namespaces there is none of its own to enter. */
	if (geteuid() != 0)
		close_fd(&x->network_fd);
	if (store->cgroup_path) {
		x->cgroup_fd = host_cgroup_open(store->cgroup_path, x->given->cgroup, &x->host_has_cgroup, err);
		if (x->cgroup_fd < 0)
			return -1;
	}
	if (x->globals->log_fd < 0)
		x->log_fd = openat(x->container.dirfd, STATEDIR_LOG, O_WRONLY | O_APPEND | O_CLOEXEC);
	return 0;
}

static int open_terminal(struct execution *x, struct err *err)
{
	if (!x->process->terminal)
		return 0;
	if (terminal_open(&x->terminal, err) < 0)
		return -1;
	if (!x->given->detach)
		terminal_follow_user(x->process);
	terminal_set_size(x->terminal.master, x->process->rows, x->process->columns);
	return 0;
}

static int spawn(struct execution *x, struct err *err)
{
	struct paths paths;
	auto_fd int state_fd = openat(x->container.dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (state_fd < 0)
		return err_set_errno(err, "cannot open the state directory");
	if (paths_find(&paths, err) < 0)
		return -1;
	struct start_proxy proxy = {
		.globals = x->globals,
		.program = paths.proxy,
		.container = x->container.id,
		.exec = x->id,
		.state_fd = state_fd,
		.request_fd = x->request_fd,
		.terminal_fd = x->terminal.slave,
		.log_fd = x->globals->log_fd >= 0 ? x->globals->log_fd : x->log_fd,
		.root_fd = -1,
		.last_words_fd = -1,
		.preserved_fds = x->preserved_fds,
		.notify_fd = -1,
		.cgroup_fd = x->cgroup_fd,
		.network_fd = x->network_fd,
		.has_oom_score_adj = x->process->has_oom_score_adj,
		.oom_score_adj = x->process->oom_score_adj,
	};
	x->pid = start_proxy(&proxy, &x->sync_fd, err);
	if (x->pid < 0)
		return -1;
	close_fd(&x->terminal.slave);
	return exec_record_write(x->container.dirfd, x->id, x->pid, err);
}

static int hand_over(struct execution *x, struct err *err)
{
	const struct exec_options *given = x->given;
	struct sync_message message;

	if (start_proxy_tell(x->sync_fd, SYNC_GO, err) < 0)
		return -1;
	if (given->console_socket && terminal_send(&x->terminal, given->console_socket, err) < 0)
		return -1;
	if (given->console_socket)
		close_fd(&x->terminal.master);
	if (given->pidfd_socket) {
		auto_fd int pid_fd = pidfd_open(x->pid, 0);

		if (pid_fd < 0 || terminal_send_fd(pid_fd, "pidfd", given->pidfd_socket, "--pidfd-socket", err) < 0)
			return -1;
	}
	if (start_proxy_await(x->sync_fd, SYNC_CREATED, &message, err) < 0)
		return -1;
	if (given->pid_file && pid_file_write(given->pid_file, x->pid, err) < 0)
		return -1;
	return start_proxy_tell(x->sync_fd, SYNC_DONE, err);
}

static int attend(struct execution *x, struct err *err)
{
	struct foreground foreground = {
		.pid = x->pid,
		.sync_fd = x->sync_fd,
		.master_fd = take_fd(&x->terminal.master),
	};

	return foreground_wait(&foreground, err);
}

/* A paused VM answers its agent's clients when it goes on: with --ignore-paused they wait for that. */
static int check_state(const struct execution *x, struct err *err)
{
	if (x->container.status == OCI_STATUS_PAUSED && x->given->ignore_paused)
		return 0;
	return lifecycle_check(x->container.id, x->container.status, LIFECYCLE_EXEC, err);
}

static int execute(struct execution *x, const char *id, int count, char **args, struct err *err)
{
	struct timespec now;

	/*
	 * Without the lock: several may begin at once, and one that takes its time must not keep `kill` and `delete`
	 * out. What the container does meanwhile shows in the agent's answer.
	 */
	if (container_open(&x->container, x->globals, id, false, err) < 0 || check_state(x, err) < 0 ||
	    container_load_config(&x->container, &x->config, err) < 0)
		return -1;
	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(x->id, sizeof x->id, "%d-%llx", (int)getpid(),
		 (unsigned long long)now.tv_sec * 1000000000ull + (unsigned long long)now.tv_nsec);
	if (check_cgroup(x->given->cgroup, err) < 0 || build_process(x, count, args, err) < 0 ||
	    check_terminal(x, err) < 0 || open_terminal(x, err) < 0 || open_places(x, err) < 0 || encode(x, err) < 0 ||
	    interrupt_catch(err) < 0 || spawn(x, err) < 0)
		return -1;
	if (hand_over(x, err) < 0) {
		start_proxy_kill(x->pid);
		exec_record_remove(x->container.dirfd, x->id);
		return -1;
	}
	return x->given->detach ? 0 : attend(x, err);
}

int exec_run(const struct globals *globals, const char *id, const struct exec_options *given, int count, char **args,
	     struct err *err)
{
	struct execution x = {
		.globals = globals,
		.given = given,
		.terminal = { .master = -1, .slave = -1 },
		.request_fd = -1,
		.cgroup_fd = -1,
		.network_fd = -1,
		.sync_fd = -1,
		.log_fd = -1,
	};
	container_init(&x.container);
	int result = execute(&x, id, count, args, err);
	oci_process_destroy(x.process);
	oci_config_destroy(x.config);
	terminal_close(&x.terminal);
	close_fd(&x.request_fd);
	close_fd(&x.cgroup_fd);
	close_fd(&x.network_fd);
	close_fd(&x.sync_fd);
	close_fd(&x.log_fd);
	container_close(&x.container);
	return result;
}

static int run(const struct invocation *invocation, struct err *err)
{
	char **operands = invocation->operands;
	int result = exec_run(invocation->globals, operands[0], invocation->options, invocation->operand_count - 1,
			      operands + 1, err);

	return result < 0 ? err_wrap(err, "exec failed") : result;
}

const struct command cmd_exec = {
	.name = "exec",
	.operands = "ID COMMAND [ARGUMENT...]",
	.summary = "run one more process in a container",
	.run = run,
	.options = options,
	.options_size = sizeof(struct exec_options),
	.operands_min = 1,
	.operands_max = -1,
	.stops_at_operand = true,
	.failure_status = 255,
};
