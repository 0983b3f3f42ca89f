/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template_build.c - makes a template: a monitor of its own boots a guest that nobody talks to and saves it.
 */
#include "runtime/template.h"

#include "runtime/interrupt.h"
#include "runtime/signals.h"
#include "runtime/vm_socket.h"

#include "common/auto.h"
#include "common/err.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NEW_NAME ".new"
#define GUEST_PARAMETER "bulkhead_template=1" /* guest-agent/template.h */

enum { BUILD_SECONDS = 60, FDS = 7, ARGUMENTS_MAX = 32 };

struct build {
	const struct template_inputs *inputs;
	int store_fd, dir_fd;
	int vsock_fd, memory_fd, state_fd, log_fd;
};

static void __attribute__((noreturn)) run_monitor(const struct build *build)
{
	const struct template_inputs *inputs = build->inputs;
	const struct {
		const char *name;
		int fd;
	} fds[FDS] = {
		{ "--kvm-fd", inputs->kvm_fd },
		{ "--kernel-fd", inputs->kernel_fd },
		{ "--initrd-fd", inputs->initrd_fd },
		{ "--vsock-fd", build->vsock_fd },
		{ "--save-memory-fd", build->memory_fd },
		{ "--save-state-fd", build->state_fd },
		{ "--log-fd", build->log_fd },
	};
	char numbers[FDS][16], memory[16], vcpus[16], dax[16], *arguments[ARGUMENTS_MAX], *cmdline = NULL;
	size_t count = 0;
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(null_fd, 0);
	dup2(null_fd, 1);
	dup2(null_fd, 2);
	syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
	arguments[count++] = (char *)(size_t)inputs->monitor;
	for (unsigned i = 0; i < FDS; i++) {
		fcntl(fds[i].fd, F_SETFD, 0);
		snprintf(numbers[i], sizeof numbers[i], "%d", fds[i].fd);
		arguments[count++] = (char *)(size_t)fds[i].name;
		arguments[count++] = numbers[i];
	}
	snprintf(memory, sizeof memory, "%u", inputs->memory_mib);
	snprintf(vcpus, sizeof vcpus, "%u", inputs->vcpus);
	snprintf(dax, sizeof dax, "%u", inputs->dax_mib);
	if (asprintf(&cmdline, "%s " GUEST_PARAMETER, inputs->cmdline) < 0)
		_exit(127);
	char *rest[] = { (char[]){ "--memory-mib" },
			 memory,
			 (char[]){ "--vcpus" },
			 vcpus,
			 (char[]){ "--dax-mib" },
			 dax,
			 (char[]){ "--file-cache" },
			 (char *)(size_t)inputs->file_cache,
			 (char[]){ "--cmdline" },
			 cmdline,
			 NULL };
	memcpy(arguments + count, rest, sizeof rest);
	signal_reset_all();
	execv(inputs->monitor, arguments);
	_exit(127);
}

/* Its last words, or how it ended. */
static int explain(const struct build *build, int status, struct err *err)
{
	char log[ERR_TEXT_MAX] = "", *line;
	off_t length = lseek(build->log_fd, 0, SEEK_END);
	off_t start = length > (off_t)sizeof log - 1 ? length - (off_t)sizeof log + 1 : 0;
	ssize_t n = pread(build->log_fd, log, sizeof log - 1, start);

	while (n > 0 && log[n - 1] == '\n')
		log[--n] = '\0';
	line = strrchr(log, '\n');
	if (*log)
		return err_set(err, EIO, "%s", line ? line + 1 : log);
	return err_set(err, EIO,
		       WIFSIGNALED(status) ? "the monitor was killed by signal %d" : "the monitor ended with status %d",
		       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static int await(const struct build *build, pid_t pid, struct err *err)
{
	auto_fd int pid_fd = pidfd_open(pid, 0);
	struct pollfd polled[] = {
		{ .fd = pid_fd, .events = POLLIN },
		{ .fd = interrupt_fd(), .events = POLLIN },
	};
	int ready, status = 0, result = 0;

	do {
		ready = poll(polled, 2, BUILD_SECONDS * 1000);
	} while (ready < 0 && errno == EINTR);
	if (!polled[0].revents) {
		result = ready > 0
				 ? interrupt_error(err)
				 : err_set(err, ETIMEDOUT, "the guest was not ready within %d seconds", BUILD_SECONDS);
		kill(pid, SIGKILL);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (result == 0 && status != 0)
		result = explain(build, status, err);
	return result;
}

static int make_files(struct build *build, const char *key, struct err *err)
{
	auto_fd int key_fd = -1;
	size_t length = strlen(key);

	template_remove_tree(build->store_fd, NEW_NAME);
	if (mkdirat(build->store_fd, NEW_NAME, 0700) && errno != EEXIST)
		return err_set_errno(err, "cannot make a directory for it");
	build->dir_fd = openat(build->store_fd, NEW_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (build->dir_fd < 0)
		return err_set_errno(err, "cannot make a directory for it");
	key_fd = openat(build->dir_fd, "key", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	build->memory_fd = openat(build->dir_fd, "memory", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	build->state_fd = openat(build->dir_fd, "state", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	build->log_fd = memfd_create("log", MFD_CLOEXEC);
	if (key_fd < 0 || build->memory_fd < 0 || build->state_fd < 0 || build->log_fd < 0 ||
	    write(key_fd, key, length) != (ssize_t)length || fsync(key_fd))
		return err_set_errno(err, "cannot make its files");
	/* The monitor wants a socket for programs that talk to the guest: nobody does, so it has no name. */
	build->vsock_fd = vm_socket_listen(build->dir_fd, VM_SOCKET_VSOCK, SOCK_STREAM, err);
	if (build->vsock_fd < 0)
		return -1;
	unlinkat(build->dir_fd, VM_SOCKET_VSOCK, 0);
	return 0;
}

static int run(const struct build *build, struct err *err)
{
	/* As fork, into a PID namespace (runtime/proxy_monitor.c). */
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD | CLONE_NEWPID, NULL, NULL, NULL, NULL);

	if (pid == 0)
		run_monitor(build);
	if (pid < 0)
		return err_set_errno(err, "cannot start the monitor");
	return await(build, pid, err);
}

/* Complete on disk before it has its name: half a memory would be a guest that fails in every container. */
static int publish(const struct build *build, const char *name, struct err *err)
{
	if (fsync(build->memory_fd) || fsync(build->state_fd) || fsync(build->dir_fd))
		return err_set_errno(err, "cannot write it to disk");
	if (renameat(build->store_fd, NEW_NAME, build->store_fd, name))
		return err_set_errno(err, "cannot give it its name");
	return 0;
}

struct oldest {
	struct template_entry entry;
	unsigned count;
};

static int find_oldest(const struct template_entry *entry, void *arg)
{
	struct oldest *oldest = arg;

	if (!oldest->count++ || entry->built_ns < oldest->entry.built_ns)
		oldest->entry = *entry;
	return 0;
}

static void make_room(void)
{
	struct err ignored = ERR_INIT;

	for (unsigned tries = 0; tries < TEMPLATES_MAX; tries++) {
		struct oldest oldest = { 0 };

		if (template_each(find_oldest, &oldest, &ignored) || oldest.count < TEMPLATES_MAX ||
		    template_remove(oldest.entry.name, &ignored))
			return;
	}
}

static void note_failure(int store_fd, const char *mark)
{
	auto_fd int fd = openat(store_fd, mark, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	(void)fd;
}

static int build_locked(const struct template_inputs *inputs, int store_fd, const char *key, const char *name,
			struct err *err)
{
	struct build build = { .inputs = inputs,
			       .store_fd = store_fd,
			       .dir_fd = -1,
			       .vsock_fd = -1,
			       .memory_fd = -1,
			       .state_fd = -1,
			       .log_fd = -1 };
	int result;

	make_room();
	result = make_files(&build, key, err) || run(&build, err) || publish(&build, name, err) ? -1 : 0;
	if (result)
		template_remove_tree(store_fd, NEW_NAME);
	close_fd(&build.dir_fd);
	close_fd(&build.vsock_fd);
	close_fd(&build.memory_fd);
	close_fd(&build.state_fd);
	close_fd(&build.log_fd);
	return result;
}

int template_build(const struct template_inputs *inputs, bool unless_failed, struct err *err)
{
	char key[TEMPLATE_KEY_MAX], name[TEMPLATE_NAME_SIZE], mark[TEMPLATE_NAME_SIZE + 8];

	if (template_key(inputs, key, name, err) < 0)
		return -1;
	auto_fd int store = template_open_store(true, err);
	if (store < 0)
		return -1;
	snprintf(mark, sizeof mark, ".failed-%s", name);
	if (unless_failed && faccessat(store, mark, F_OK, 0) == 0)
		return err_set(err, ENOTSUP,
			       "building template %s failed before; `bulkhead template build` tries again", name);
	auto_fd int lock = openat(store, ".lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (lock < 0)
		return err_set_errno(err, "%s/.lock", TEMPLATE_DIR);
	if (flock(lock, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? err_set(err, EAGAIN, "another template is being built just now")
					    : err_set_errno(err, "%s/.lock", TEMPLATE_DIR);
	if (faccessat(store, name, F_OK, 0) == 0)
		return 0;
	int result = build_locked(inputs, store, key, name, err);
	if (result < 0 && err->code != EINTR)
		note_failure(store, mark);
	else if (result == 0)
		unlinkat(store, mark, 0);
	return result < 0 ? err_wrap(err, "template %s", name) : 0;
}
