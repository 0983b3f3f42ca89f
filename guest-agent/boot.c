/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/boot.h"

#include "common/auto.h"
#include "common/bulkhead_uapi.h"
#include "common/err.h"
#include "common/log.h"
#include "guest-agent/agent.h"
#include "guest-agent/cgroup.h"
#include "guest-agent/files.h"
#include "guest-agent/namespaces.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>

/* Clocks that agree to this are left alone: the message took its time, too. */
#define CLOCK_TOLERANCE_NS 500000000ll

static int make_directory(const char *path, mode_t mode, struct err *err)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return err_set_errno(err, "creating %s", path);
	return 0;
}

static int make_run_dirs(const struct agent *agent, struct err *err)
{
	static const char *const names[] = { "shares", "common", "root", "overlay" };
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", agent->run_dir, names[i]);
		if (make_directory(path, 0755, err) < 0)
			return -1;
	}
	return 0;
}

static int open_cgroup(struct agent *agent, struct err *err)
{
	agent->cgroup_fd = open(agent->cgroup_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (agent->cgroup_fd < 0)
		return err_set_errno(err, "%s", agent->cgroup_dir);
	return cgroup_enable_controllers(agent->cgroup_fd, err);
}

#ifdef AGENT_TEST

int boot_begin(struct agent *agent, struct err *err)
{
	return make_run_dirs(agent, err);
}

static int prepare(struct agent *agent, struct err *err)
{
	return open_cgroup(agent, err);
}

#else

static const struct {
	const char *source, *target, *type;
	unsigned long flags;
	const char *options;
} late_mounts[] = {
	{ "proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "" },
	{ "sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "" },
	/* nsdelegate: a container that may write to its part of the tree cannot lift its own limits. */
	{ "cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, "nsdelegate,memory_recursiveprot" },
	{ "run", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755" },
};

/*
 * The kernel started us on its first file system, which nothing can be pivoted away from. A bind of it on top of itself
 * is a mount like any other.
 */
static int make_root_movable(struct err *err)
{
	if (mount("/", "/run", NULL, MS_BIND, NULL) < 0 || chdir("/run") < 0 ||
	    mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return err_set_errno(err, "preparing the guest's root");
	return 0;
}

/* A system without consoles starts its first process without descriptors, and 0 to 2 are no numbers for sockets. */
static int open_standard_streams(struct err *err)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= 2);
	if (fd < 0)
		return err_set_errno(err, "/dev/null");
	close(fd);
	return 0;
}

static int load_module(const char *path, struct err *err)
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) < 0)
		return err_set_errno(err, "loading %s", path);
	return 0;
}

int boot_begin(struct agent *agent, struct err *err)
{
	int kmsg;

	if (make_root_movable(err) < 0)
		return -1;
	if (mount("dev", "/dev", "devtmpfs", MS_NOSUID, "mode=0755") < 0)
		return err_set_errno(err, "mounting /dev");
	if (open_standard_streams(err) < 0)
		return -1;
	kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	log_setup("bulkhead-agent", kmsg, LOG_TEXT, LOG_WARN);
	if (load_module("/bulkhead_guest.ko", err) < 0)
		return -1;
	agent->sandbox_fd = open(BULKHEAD_DEVICE, O_RDWR | O_CLOEXEC);
	if (agent->sandbox_fd < 0)
		return err_set_errno(err, BULKHEAD_DEVICE);
	return 0;
}

/*
 * The kernel has a FUSE file system keep no more than a hundredth of what others may have of pages to be written, since
 * a server may be anybody's, and slow: every 128 KiB, whoever writes waits for the flusher. This one is the host's.
 */
static int let_write_late(const char *shares, struct err *err)
{
	static const struct {
		const char *name, *value;
	} settings[] = { { "max_ratio", "100" }, { "strict_limit", "0" } };
	char path[PATH_MAX];
	struct stat st;

	if (stat(shares, &st) < 0)
		return err_set_errno(err, "%s", shares);
	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
		snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/%s", major(st.st_dev), minor(st.st_dev),
			 settings[i].name);
		if (file_write_at(AT_FDCWD, path, settings[i].value) < 0)
			return err_set_errno(err, "%s", path);
	}
	return 0;
}

static int prepare(struct agent *agent, struct err *err)
{
	char shares[PATH_MAX];

	for (size_t i = 0; i < sizeof late_mounts / sizeof *late_mounts; i++) {
		if (mount(late_mounts[i].source, late_mounts[i].target, late_mounts[i].type, late_mounts[i].flags,
			  late_mounts[i].options) < 0)
			return err_set_errno(err, "mounting %s in the guest", late_mounts[i].target);
	}
	if (make_run_dirs(agent, err) < 0)
		return -1;
	snprintf(shares, sizeof shares, "%s/shares", agent->run_dir);
	/* Options are set on each container's bind, not here. */
	if (mount("bulkhead", shares, "virtiofs", 0, NULL) < 0)
		return err_set_errno(err, "mounting the shares (virtio-fs, tag \"bulkhead\")");
	if (let_write_late(shares, err) < 0)
		return -1;
	/* From here on nobody adds code to the kernel, us included. */
	if (file_write_at(AT_FDCWD, "/proc/sys/kernel/modules_disabled", "1") < 0)
		return err_set_errno(err, "closing the kernel to modules");
	if (namespaces_bring_up_loopback() < 0)
		return err_set_errno(err, "bringing up the loopback interface");
	return open_cgroup(agent, err);
}

#endif

/* A guest that was stopped for a while, or restored, still believes in its old time. */
static void set_clock(int64_t realtime_ns)
{
	struct timespec now;

	if (realtime_ns <= 0 || clock_gettime(CLOCK_REALTIME, &now) < 0)
		return;
	int64_t difference = realtime_ns - ((int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
	if (difference > -CLOCK_TOLERANCE_NS && difference < CLOCK_TOLERANCE_NS)
		return;
	now = (struct timespec){ .tv_sec = realtime_ns / 1000000000, .tv_nsec = realtime_ns % 1000000000 };
	if (clock_settime(CLOCK_REALTIME, &now) < 0)
		log_warn("setting the clock: %s", strerror(errno));
}

int boot_finish(struct agent *agent, int64_t realtime_ns, struct err *err)
{
#ifndef AGENT_TEST
	set_clock(realtime_ns);
#else
	(void)realtime_ns;
	(void)set_clock;
#endif
	if (agent->finished_boot)
		return 0;
	if (prepare(agent, err) < 0)
		return err_wrap(err, "preparing the guest");
	agent->finished_boot = true;
	return 0;
}
