/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/hooks.h"

#include "common/auto.h"
#include "guest-agent/errtext.h"
#include "guest-agent/kernel.h"
#include "guest-agent/program.h"

#include <ctype.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

enum { OUTPUT_MAX = 512 };

static const char pid_mark[] = "%PID%";

/* The state document with our pid in it, as a file to read. */
static int state_file(const pb_bytes_array_t *state)
{
	auto_fd int fd = memfd_create("state", MFD_CLOEXEC);
	const char *text = state ? (const char *)state->bytes : "";
	size_t length = state ? state->size : 0;
	const char *mark = length ? memmem(text, length, pid_mark, sizeof pid_mark - 1) : NULL;
	size_t before = mark ? (size_t)(mark - text) : length;

	if (fd < 0 || write(fd, text, before) != (ssize_t)before)
		return -1;
	if (mark) {
		size_t after = before + sizeof pid_mark - 1;

		if (dprintf(fd, "%d", getpid()) < 0 ||
		    write(fd, text + after, length - after) != (ssize_t)(length - after))
			return -1;
	}
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	return take_fd(&fd);
}

static char **with_end(char **items, size_t count)
{
	char **out = calloc(count + 1, sizeof *out);

	if (out && count)
		memcpy(out, items, count * sizeof *out);
	return out;
}

/* With the capabilities and under the seccomp filter of the container's own process, as with runc. */
static void __attribute__((noreturn))
become_hook(const agent_Hook *hook, const agent_Process *process, int input, int output)
{
	struct err err = ERR_INIT;
	char *only_path[] = { hook->path, NULL };
	char **args = hook->args_count ? with_end(hook->args, hook->args_count) : only_path;
	char **env = with_end(hook->env, hook->env_count);

	if (args && env && dup2(input, 0) == 0 && dup2(output, 1) == 1 && dup2(output, 2) == 2) {
		if (program_confine(process, &err) < 0) {
			dprintf(2, "%s", err.text);
			_exit(127);
		}
		execve(hook->path, args, env);
	}
	dprintf(2, "%s", strerror(errno));
	_exit(127);
}

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

/*
 * Reads what the hook says, keeping the first OUTPUT_MAX bytes, until it has ended. False: the time is over. That a
 * grandchild holds the output open does not matter.
 */
static bool watch_hook(int pidfd, int output, uint32_t timeout, char said[OUTPUT_MAX + 1])
{
	long long deadline = now_ms() + timeout * 1000ll;
	size_t used = 0;
	struct pollfd fds[2] = { { .fd = pidfd, .events = POLLIN }, { .fd = output, .events = POLLIN } };

	said[0] = '\0';
	for (;;) {
		long long left = timeout ? deadline - now_ms() : -1;

		if (timeout && left <= 0)
			return false;
		if (poll(fds, 2, (int)left) < 0) {
			if (errno == EINTR)
				continue;
			return false;
		}
		if (fds[1].revents) {
			char piece[OUTPUT_MAX];
			ssize_t n = read(output, piece, sizeof piece);

			if (n <= 0) {
				fds[1].fd = -1;
			} else {
				size_t room = OUTPUT_MAX - used;

				memcpy(said + used, piece, (size_t)n < room ? (size_t)n : room);
				used += (size_t)n < room ? (size_t)n : room;
				said[used] = '\0';
			}
			continue;
		}
		if (fds[0].revents)
			return true;
	}
}

/* "signal 31 (bad system call)": in lower case, as the errors of errtext.h. */
static int report_signal(const char *hook, size_t index, int signal, const char *said, struct err *err)
{
	const char *name = strsignal(signal);

	return err_set(err, ECHILD, "error running startContainer hook #%zu (%s): signal %d (%c%s), output: %s", index,
		       hook, signal, tolower((unsigned char)name[0]), name + 1, said);
}

static int run_hook(const agent_Container *container, const agent_Process *process, size_t index, struct err *err)
{
	const agent_Hook *hook = &container->start_container_hooks[index];
	const struct kernel_clone_args clone = { .exit_signal = SIGCHLD };
	char said[OUTPUT_MAX + 1];
	int ends[2], status;

	auto_fd int input = state_file(container->hook_state);
	if (input < 0 || pipe2(ends, O_CLOEXEC) < 0)
		return errtext_set(err, "error running startContainer hook #%zu", index);
	auto_fd int output = ends[0];
	auto_fd int output_child = ends[1];
	pid_t pid = kernel_clone3(&clone);
	if (pid == 0)
		become_hook(hook, process, input, output_child);
	close_fd(&output_child);
	auto_fd int pidfd = pid < 0 ? -1 : kernel_pidfd_open(pid);
	if (pidfd < 0)
		return errtext_set(err, "error running startContainer hook #%zu", index);
	bool in_time = watch_hook(pidfd, output, hook->timeout, said);
	if (!in_time)
		kernel_pidfd_send_signal(pidfd, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!in_time)
		return err_set(err, ETIMEDOUT,
			       "error running startContainer hook #%zu (%s): hook ran past specified timeout of %u s",
			       index, hook->path, hook->timeout);
	if (WIFSIGNALED(status))
		return report_signal(hook->path, index, WTERMSIG(status), said, err);
	if (WEXITSTATUS(status) != 0)
		return err_set(err, ECHILD, "error running startContainer hook #%zu (%s): exit status %d, output: %s",
			       index, hook->path, WEXITSTATUS(status), said);
	return 0;
}

int hooks_run(const agent_Container *container, const agent_Process *process, struct err *err)
{
	for (size_t i = 0; i < container->start_container_hooks_count; i++) {
		if (run_hook(container, process, i, err) < 0)
			return -1;
	}
	return 0;
}
