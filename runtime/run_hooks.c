/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/run_hooks.h"

#include "runtime/signals.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What is kept of a hook's output, for the error. */
enum { OUTPUT_MAX = 512 };

struct output {
	int fd;
	size_t used;
	char text[OUTPUT_MAX];
};

struct running {
	pid_t pid;
	int pid_fd;
	int stdin_fd;
	const char *state; /* what is not yet written */
	size_t state_left;
	struct output out, err;
};

static void hook_child(const struct oci_hook *hook, const char *directory, int network_fd, int in, int out, int err)
{
	char *no_args[] = { hook->path, NULL };
	auto_free char **args = calloc(hook->args.count + 1, sizeof *args);
	auto_free char **env = calloc(hook->env.count + 1, sizeof *env);

	if (!args || !env)
		_exit(127);
	for (size_t i = 0; i < hook->args.count; i++)
		args[i] = hook->args.items[i];
	for (size_t i = 0; i < hook->env.count; i++)
		env[i] = hook->env.items[i];
	setpgid(0, 0);
	if (network_fd >= 0 && setns(network_fd, CLONE_NEWNET) < 0)
		dprintf(err, "cannot enter the network namespace: %s", strerror(errno));
	else if (chdir(directory) < 0)
		dprintf(err, "%s: %s", directory, strerror(errno));
	else if (dup2(in, 0) >= 0 && dup2(out, 1) >= 0 && dup2(err, 2) >= 0) {
		signal_reset_all();
		close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
		execve(hook->path, hook->args.count ? args : no_args, hook->inherits_env ? environ : env);
		dprintf(2, "%s", strerror(errno));
	}
	_exit(127);
}

static int start(const struct oci_hook *hook, const char *directory, int network_fd, struct running *running,
		 struct err *err)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, errors[2] = { -1, -1 };
	int result = -1;

	running->pid_fd = running->stdin_fd = running->out.fd = running->err.fd = -1;
	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(errors, O_CLOEXEC) < 0) {
		err_set_errno(err, "cannot make a pipe");
		goto done;
	}
	running->pid = fork();
	if (running->pid == 0)
		hook_child(hook, directory, network_fd, in[0], out[1], errors[1]);
	if (running->pid < 0) {
		err_set_errno(err, "cannot start a process");
		goto done;
	}
	setpgid(running->pid, running->pid); /* also here, so that it is true before anything is sent to the group */
	running->pid_fd = pidfd_open(running->pid, 0);
	if (running->pid_fd < 0) {
		err_set_errno(err, "pidfd_open");
		kill(-running->pid, SIGKILL);
		waitpid(running->pid, NULL, 0);
		goto done;
	}
	running->stdin_fd = take_fd(&in[1]);
	running->out.fd = take_fd(&out[0]);
	running->err.fd = take_fd(&errors[0]);
	fcntl(running->stdin_fd, F_SETFL, O_NONBLOCK);
	fcntl(running->out.fd, F_SETFL, O_NONBLOCK);
	fcntl(running->err.fd, F_SETFL, O_NONBLOCK);
	result = 0;
done:
	for (int i = 0; i < 2; i++) {
		close_fd(&in[i]);
		close_fd(&out[i]);
		close_fd(&errors[i]);
	}
	return result;
}

static void write_state(struct running *running)
{
	ssize_t n = write(running->stdin_fd, running->state, running->state_left);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		running->state += n;
		running->state_left -= (size_t)n;
	}
	/* A hook need not read it: EPIPE is the end of it as well. */
	if (n < 0 || running->state_left == 0)
		close_fd(&running->stdin_fd);
}

/* Keeps the beginning, reads on so that the hook is not stopped. */
static void read_output(struct output *output)
{
	char buffer[4096];
	ssize_t n = read(output->fd, buffer, sizeof buffer);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close_fd(&output->fd);
		return;
	}
	size_t room = sizeof output->text - 1 - output->used;
	size_t keep = (size_t)n < room ? (size_t)n : room;
	memcpy(output->text + output->used, buffer, keep);
	output->used += keep;
	output->text[output->used] = '\0';
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Serves its pipes until it has ended. False: time is over. */
static bool serve(struct running *running, unsigned timeout)
{
	int64_t deadline = now_ms() + (int64_t)timeout * 1000;

	for (;;) {
		struct pollfd polled[] = {
			{ .fd = running->pid_fd, .events = POLLIN },
			{ .fd = running->stdin_fd, .events = POLLOUT },
			{ .fd = running->out.fd, .events = POLLIN },
			{ .fd = running->err.fd, .events = POLLIN },
		};
		int64_t left = timeout ? deadline - now_ms() : -1;

		if (timeout && left <= 0)
			return false;
		if (poll(polled, 4, (int)left) < 0 && errno != EINTR)
			return false;
		if (polled[1].revents)
			write_state(running);
		if (polled[2].revents)
			read_output(&running->out);
		if (polled[3].revents)
			read_output(&running->err);
		/* What it wrote last was in the pipes with this round; who else holds them is not waited for. */
		if (polled[0].revents)
			return true;
	}
}

static void one_line(char *text)
{
	size_t length = strlen(text);

	while (length > 0 && text[length - 1] == '\n')
		text[--length] = '\0';
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20)
			*text = ' ';
	}
}

static int report(enum oci_hook_kind kind, size_t index, const struct oci_hook *hook, struct running *running,
		  int status, struct err *err)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	one_line(running->out.text);
	one_line(running->err.text);
	return err_set(err, ECHILD, "error running %s hook #%zu: %s: %s %d, stdout: %.400s, stderr: %.400s",
		       oci_hook_name(kind), index, hook->path, WIFSIGNALED(status) ? "signal" : "exit status",
		       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), running->out.text,
		       running->err.text);
}

static int run_one(enum oci_hook_kind kind, size_t index, const struct oci_hook *hook, const char *state,
		   const char *directory, int network_fd, struct err *err)
{
	struct running running = { .state = state, .state_left = strlen(state) };
	int status = 0;

	if (start(hook, directory, network_fd, &running, err) < 0)
		return err_wrap(err, "error running %s hook #%zu: %s", oci_hook_name(kind), index, hook->path);
	bool in_time = serve(&running, hook->timeout);
	if (!in_time)
		kill(-running.pid, SIGKILL);
	waitpid(running.pid, &status, 0);
	close_fd(&running.pid_fd);
	close_fd(&running.stdin_fd);
	close_fd(&running.out.fd);
	close_fd(&running.err.fd);
	if (!in_time)
		return err_set(err, ETIMEDOUT, "error running %s hook #%zu: %s: killed, not done after %u seconds",
			       oci_hook_name(kind), index, hook->path, hook->timeout);
	return report(kind, index, hook, &running, status, err);
}

int run_hooks(enum oci_hook_kind kind, const struct oci_hook_list *hooks, const char *state, const char *directory,
	      int network_fd, struct err *err)
{
	for (size_t i = 0; i < hooks->count; i++) {
		log_debug("running %s hook #%zu: %s", oci_hook_name(kind), i, hooks->items[i].path);
		if (run_one(kind, i, &hooks->items[i], state, directory, network_fd, err) < 0)
			return -1;
	}
	return 0;
}

void run_hooks_anyway(enum oci_hook_kind kind, const struct oci_hook_list *hooks, const char *state, const char *bundle)
{
	struct err err = ERR_INIT;

	for (size_t i = 0; i < hooks->count; i++) {
		if (run_one(kind, i, &hooks->items[i], state, bundle, -1, &err) < 0)
			log_warn("%s", err.text);
	}
}
