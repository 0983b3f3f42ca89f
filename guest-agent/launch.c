/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order is that of the OCI runtime specification and of runc: what needs the guest's rights and sees its file tree
 * first; then the step into the container; then, one after the other, the rights go away.
 */
#include "guest-agent/launch.h"

#include "common/auto.h"
#include "guest-agent/devices.h"
#include "guest-agent/errtext.h"
#include "guest-agent/hooks.h"
#include "guest-agent/kernel.h"
#include "guest-agent/masks.h"
#include "guest-agent/mounts.h"
#include "guest-agent/namespaces.h"
#include "guest-agent/paths.h"
#include "guest-agent/program.h"
#include "guest-agent/rootfs.h"
#include "guest-agent/security.h"
#include "guest-agent/sync.h"
#include "guest-agent/terminal.h"

#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

/*
 * Of the agent's descriptors the child keeps its streams and, after the last of them, the way back to the agent, whose
 * number is returned. The others are other containers' pipes and connections, which would not see their end of file
 * while we hold them.
 */
static int take_descriptors(const struct launch *launch, struct err *err)
{
	/* Above all we place here, so that no dup2 overwrites what is still to be moved. */
	int sync_fd = fcntl(launch->sync_fd, F_DUPFD_CLOEXEC, STDIO_MAX + 1), place = launch->stream_count;
	int streams[STDIO_MAX];

	for (int i = 0; i < launch->stream_count; i++) {
		int from = launch->streams[i];

		streams[i] = from < 0 ? -1 : fcntl(from, F_DUPFD_CLOEXEC, STDIO_MAX + 1);
		if (from >= 0 && streams[i] < 0)
			return errtext_set(err, "streams");
	}
	for (int i = 0; i < launch->stream_count; i++) {
		if (streams[i] >= 0 && dup2(streams[i], i) < 0)
			return errtext_set(err, "streams");
	}
	if (sync_fd < 0 || dup3(sync_fd, place, O_CLOEXEC) < 0 || kernel_close_range((unsigned)place + 1, ~0u, 0) < 0)
		return errtext_set(err, "descriptors");
	return place;
}

/* The agent ignores and blocks signals; a new program expects neither. */
static void reset_signals(void)
{
	sigset_t none;

	for (int signal_number = 1; signal_number < NSIG; signal_number++)
		signal(signal_number, SIG_DFL); /* some cannot be set, and need not */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void __attribute__((noreturn)) fail(int sync_fd, const struct err *err)
{
	sync_send(sync_fd, SYNC_FAILED, err, -1);
	_exit(1);
}

/*
 * In a user namespace we come as nobody, who can make no file; its root is who may do all this. If that is not mapped,
 * the process's user is, and we have all capabilities as either.
 */
static void become_somebody(const agent_Process *process)
{
	if (syscall(SYS_setresgid, 0, 0, 0) < 0)
		(void)syscall(SYS_setresgid, process->gid, process->gid, process->gid);
	if (syscall(SYS_setresuid, 0, 0, 0) < 0)
		(void)syscall(SYS_setresuid, process->uid, process->uid, process->uid);
}

static int open_terminal(const struct launch *launch, int root_fd, struct terminal *terminal, struct err *err)
{
	if (!launch->process->terminal)
		return 0;
	if (terminal_create(root_fd, launch->process, terminal, err) < 0)
		return -1;
	if (launch->container && terminal_mount_console(root_fd, terminal->slave, err) < 0)
		return -1;
	return 0;
}

/* The working directory is made while root may still write to the file system. What is there is left alone. */
static int make_directory(const struct rootfs *rootfs, const agent_Process *process, struct err *err)
{
	const char *cwd = message_text(process->cwd);
	auto_fd int fd = *cwd ? path_make(rootfs->root_fd, cwd, true) : -1;

	/* On a read-only file system it may be missing; then entering it will say so. */
	if (*cwd && fd < 0 && errno != EROFS && errno != EACCES && errno != EPERM)
		return errtext_set(err, "creating the working directory \"%.300s\"", cwd);
	return 0;
}

static int build_container(const struct launch *launch, struct terminal *terminal, struct err *err)
{
	const agent_Container *container = launch->container;
	struct rootfs rootfs;

	umask(0);
	if (launch->new_cgroup_namespace && unshare(CLONE_NEWCGROUP) < 0)
		return errtext_set(err, "creating the cgroup namespace");
	if (launch->new_network_namespace && namespaces_bring_up_loopback() < 0)
		return errtext_set(err, "bringing up the loopback interface");
	if (rootfs_mount(&rootfs, launch->run_dir, container, err) < 0 || mounts_apply(&rootfs, container, err) < 0)
		return -1;
	if (mounts_have_own_dev(container) && devices_make_defaults(&rootfs, err) < 0)
		return -1;
	if (devices_make(&rootfs, container, launch->id, err) < 0 ||
	    open_terminal(launch, rootfs.root_fd, terminal, err) < 0)
		return -1;
	if (make_directory(&rootfs, launch->process, err) < 0 || mounts_make_read_only(&rootfs, container, err) < 0)
		return -1;
	if (launch->new_uts_namespace && namespaces_set_names(container, err) < 0)
		return -1;
	if (sysctl_apply(rootfs.proc_fd, container, launch->sysctls, err) < 0)
		return -1;
	if (masks_apply(&rootfs, container, err) < 0)
		return -1;
	return rootfs_enter(&rootfs, container, err);
}

/*
 * The container's /proc shows its own processes. Ours shows those of the guest, over it and in a copy of its mounts, so
 * that the container notices nothing. An image without these directories goes without.
 */
static int show_guest(struct err *err)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return errtext_set(err, "a copy of the container's mounts");
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 && errno != ENOENT)
		return errtext_set(err, "mounting the guest's /proc");
	/* Busy: the container's is the guest's already, which a container without a network namespace of its own has.
	 */
	if (mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 && errno != ENOENT &&
	    errno != EBUSY)
		return errtext_set(err, "mounting the guest's /sys");
	return 0;
}

static int join_container(const struct launch *launch, struct terminal *terminal, struct err *err)
{
	auto_fd int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root_fd < 0)
		return errtext_set(err, "the container's root");
	if (open_terminal(launch, root_fd, terminal, err) < 0)
		return -1;
	return launch->debug ? show_guest(err) : 0;
}

static int prepare(const struct launch *launch, struct program *program, int *master, struct err *err)
{
	struct terminal terminal = { .master = -1, .slave = -1 };

	if (launch->in_user_namespace)
		become_somebody(launch->process);
	if (setsid() < 0)
		return errtext_set(err, "starting a session");
	if (security_join_keyring(launch->id, err) < 0)
		return -1;
	if ((launch->container ? build_container(launch, &terminal, err) : join_container(launch, &terminal, err)) < 0)
		return -1;
	if (terminal.slave >= 0 && terminal_take(terminal.slave, err) < 0)
		return -1;
	close_fd(&terminal.slave);
	*master = terminal.master;
	return program_prepare(program, launch->process, err);
}

void launch_main(void *arg)
{
	const struct launch *launch = arg;
	struct program program;
	struct err err = ERR_INIT;
	int master = -1;

	int sync_fd = take_descriptors(launch, &err);
	if (sync_fd < 0)
		fail(launch->sync_fd, &err);
	reset_signals();
	sync_await(sync_fd, SYNC_GO);
	if (prepare(launch, &program, &master, &err) < 0)
		fail(sync_fd, &err);
	if (sync_send(sync_fd, SYNC_READY, NULL, master) < 0)
		_exit(1);
	close_fd(&master);

	sync_await(sync_fd, SYNC_START);
	if (launch->container && hooks_run(launch->container, launch->process, &err) < 0)
		fail(sync_fd, &err);
	/* Nothing but the socket should be left; whatever is, does not get into the program. */
	kernel_close_range((unsigned)sync_fd, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */);
	if (program_exec(&program, &err) < 0)
		fail(sync_fd, &err);
	_exit(1);
}
