/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/identity.h"

#include "common/auto.h"
#include "common/bulkhead_uapi.h"
#include "common/err.h"
#include "guest-agent/agent.h"
#include "guest-agent/errtext.h"
#include "guest-agent/kernel.h"

#include <errno.h>
#include <limits.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>

/* What the kernel's generator was seeded with before is known to every copy; from here on it is this one's alone. */
static int reseed(const struct bulkhead_identity *identity, struct err *err)
{
	_Alignas(struct rand_pool_info) unsigned char bytes[sizeof(struct rand_pool_info) + sizeof identity->entropy];
	struct rand_pool_info *pool = (void *)bytes;
	auto_fd int fd = open("/dev/random", O_RDWR | O_CLOEXEC);
	int result = 0;

	pool->entropy_count = 8 * (int)sizeof identity->entropy;
	pool->buf_size = (int)sizeof identity->entropy;
	memcpy(pool->buf, identity->entropy, sizeof identity->entropy);
	if (fd < 0 || ioctl(fd, RNDADDENTROPY, pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
		result = err_set_errno(err, "giving the guest entropy of its own");
	explicit_bzero(bytes, sizeof bytes);
	return result;
}

int identity_set_clock(int64_t realtime_ns, struct err *err)
{
	const struct timespec now = { .tv_sec = (time_t)(realtime_ns / 1000000000),
				      .tv_nsec = (long)(realtime_ns % 1000000000) };

	return clock_settime(CLOCK_REALTIME, &now) < 0 ? err_set_errno(err, "setting the clock") : 0;
}

int identity_renew(struct agent *agent, struct err *err)
{
	struct bulkhead_identity identity;
	int64_t realtime_ns;
	int result;

	if (agent->sandbox_fd < 0)
		return 0;
	if (ioctl(agent->sandbox_fd, BULKHEAD_IOC_IDENTITY, &identity) < 0)
		return err_set_errno(err, "asking which guest this is");
	if (identity.generation == agent->generation)
		return 0;
	agent->generation = identity.generation;
	realtime_ns = (int64_t)identity.realtime_ns;
	result = reseed(&identity, err);
	explicit_bzero(&identity, sizeof identity);
	return result < 0 || identity_set_clock(realtime_ns, err) < 0 ? -1 : 1;
}

/* --- what containers see of it ------------------------------------------------------------------------------ */

enum { RANDOM_SIZE = 16, ID_TEXT_MAX = 40 };

/* As the kernel writes its boot id, and as machine-id(5) wants its own: both of version 4. */
static int make_id(char text[ID_TEXT_MAX], bool with_dashes)
{
	unsigned char bytes[RANDOM_SIZE];
	size_t used = 0;

	if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
		return -1;
	bytes[6] = (bytes[6] & 0x0f) | 0x40;
	bytes[8] = (bytes[8] & 0x3f) | 0x80;
	for (unsigned i = 0; i < RANDOM_SIZE; i++) {
		if (with_dashes && (i == 4 || i == 6 || i == 8 || i == 10))
			text[used++] = '-';
		used += (size_t)snprintf(text + used, ID_TEXT_MAX - used, "%02x", bytes[i]);
	}
	snprintf(text + used, ID_TEXT_MAX - used, "\n");
	return 0;
}

static void file_path(const struct agent *agent, const char *name, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/%s", agent->run_dir, name);
}

/* A file with this text, as a detached mount. It loses its name when it is mounted: one without cannot be. */
static int make_file(const struct agent *agent, const char *name, const char *text)
{
	char path[PATH_MAX];
	struct kernel_mount_attr attr = { .attr_set = KERNEL_MOUNT_ATTR_RDONLY | KERNEL_MOUNT_ATTR_NOSUID |
						      KERNEL_MOUNT_ATTR_NODEV | KERNEL_MOUNT_ATTR_NOEXEC };

	file_path(agent, name, path);
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0 || fchmod(fd, 0444) < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return -1;
	auto_fd int tree = kernel_open_tree(AT_FDCWD, path, KERNEL_OPEN_TREE_CLONE | KERNEL_OPEN_TREE_CLOEXEC);
	if (tree < 0 || kernel_mount_setattr(tree, "", KERNEL_AT_EMPTY_PATH, &attr) < 0)
		return -1;
	return take_fd(&tree);
}

static void forget_file(const struct agent *agent, const char *name)
{
	char path[PATH_MAX];

	file_path(agent, name, path);
	unlink(path);
}

/* In a child: the namespace's root is its root. A link in the container's tree leads nowhere else. */
static int cover(int tree, const char *path)
{
	const struct kernel_open_how how = { .flags = O_PATH | O_CLOEXEC,
					     .resolve = KERNEL_RESOLVE_IN_ROOT | KERNEL_RESOLVE_NO_MAGICLINKS };
	auto_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_fd int target = root < 0 ? -1 : kernel_openat2(root, path, &how);

	if (target < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	if (kernel_move_mount(tree, "", target, "", KERNEL_MOVE_F_EMPTY_PATH | KERNEL_MOVE_T_EMPTY_PATH) == 0)
		return 0;
	/* A copy of a copy: the file mounted there has no name any more, and nothing can be mounted over such a one. */
	if (errno != ENOENT || umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
		return -1;
	close_fd(&target);
	target = kernel_openat2(root, path, &how);
	if (target < 0)
		return -1;
	return kernel_move_mount(tree, "", target, "", KERNEL_MOVE_F_EMPTY_PATH | KERNEL_MOVE_T_EMPTY_PATH);
}

static void __attribute__((noreturn)) cover_all(int pidfd, int boot_tree, int machine_tree)
{
	/* Its root is the directory, too, that umount2 begins at. */
	if (setns(pidfd, CLONE_NEWNS) < 0 || chdir("/") < 0 || cover(boot_tree, "proc/sys/kernel/random/boot_id") < 0 ||
	    (machine_tree >= 0 && cover(machine_tree, "etc/machine-id") < 0))
		_exit(errno ? errno : EIO);
	_exit(0);
}

static int cover_ids(int pidfd, int boot_tree, int machine_tree, struct err *err)
{
	int status;
	/* The agent has one thread and does not leave its own mounts. */
	pid_t pid = fork();

	if (pid == 0)
		cover_all(pidfd, boot_tree, machine_tree);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return errtext_set(err, "covering the boot id");
	errno = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
	return errno ? errtext_set(err, "covering the boot id") : 0;
}

int identity_cover_ids(const struct agent *agent, int pidfd, bool machine_id, struct err *err)
{
	char boot[ID_TEXT_MAX], machine[ID_TEXT_MAX];
	int result;

	if (make_id(boot, true) < 0 || make_id(machine, false) < 0)
		return errtext_set(err, "choosing a boot id");
	auto_fd int boot_tree = make_file(agent, "boot-id", boot);
	auto_fd int machine_tree = machine_id ? make_file(agent, "machine-id", machine) : -1;
	if (boot_tree < 0 || (machine_id && machine_tree < 0))
		result = errtext_set(err, "making a boot id");
	else
		result = cover_ids(pidfd, boot_tree, machine_tree, err);
	forget_file(agent, "boot-id");
	forget_file(agent, "machine-id");
	return result;
}

int identity_set_names(int pidfd, const char *hostname, const char *domainname, struct err *err)
{
	auto_fd int own = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
	int result = 0;

	if (own < 0 || setns(pidfd, CLONE_NEWUTS) < 0)
		return errtext_set(err, "entering the container's UTS namespace");
	if ((*hostname && sethostname(hostname, strlen(hostname)) < 0) ||
	    (*domainname && setdomainname(domainname, strlen(domainname)) < 0))
		result = errtext_set(err, "setting the host name %s", hostname);
	if (setns(own, CLONE_NEWUTS) < 0)
		return errtext_set(err, "leaving the container's UTS namespace");
	return result;
}
