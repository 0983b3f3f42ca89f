/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/share.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include "oci/describe.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int write_map(pid_t pid, const char *file, const struct oci_id_mappings *mappings, struct err *err)
{
	char path[64], line[64];

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
	auto_file FILE *out = fopen(path, "we");
	if (!out)
		return err_set_errno(err, "id mapping: %s", path);
	/* The kernel takes one write; stdio's buffer holds the 340 lines there can be only if it is large enough. */
	static char buffer[340 * sizeof line];
	setvbuf(out, buffer, _IOFBF, sizeof buffer);
	for (size_t i = 0; i < mappings->count; i++) {
		const struct oci_id_mapping *m = &mappings->items[i];

		fprintf(out, "%u %u %u\n", m->container_id, m->host_id, m->size);
	}
	if (fflush(out) != 0)
		return err_set_errno(err, "id mapping: %s", file);
	return 0;
}

/* A user namespace exists only around a process; this one lives until its namespace has been opened. */
static int open_user_namespace(const struct oci_share *share, struct err *err)
{
	int ready[2], fd = -1;
	char path[64], byte;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return err_set_errno(err, "cannot make a pipe");
	auto_fd int read_end = ready[0];
	auto_fd int write_end = ready[1];
	pid_t pid = fork();
	if (pid < 0)
		return err_set_errno(err, "cannot start a process");
	if (pid == 0) {
		if (unshare(CLONE_NEWUSER) == 0 && write(ready[1], "1", 1) == 1)
			pause();
		_exit(1);
	}
	close_fd(&write_end);
	if (read(read_end, &byte, 1) != 1) {
		err_set(err, EPERM, "id mapping of %s: cannot make a user namespace", share->path);
	} else if (write_map(pid, "uid_map", &share->uid_mappings, err) == 0 &&
		   write_map(pid, "gid_map", &share->gid_mappings, err) == 0) {
		snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			err_set_errno(err, "%s", path);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return fd;
}

static bool is_mapped(const struct oci_share *share)
{
	return share->uid_mappings.count > 0 || share->gid_mappings.count > 0;
}

/* All of these are set while nobody else can reach the mount. */
static int set_attributes(int fd, const struct oci_share *share, struct err *err)
{
	struct mount_attr attr = { .propagation = MS_PRIVATE, .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV };
	unsigned recursive = share->recursive ? AT_RECURSIVE : 0;
	auto_fd int user_namespace = -1;

	/*
	 * Recursive: private, so that what is mounted on the host later stays there; rro; and whatever the container
	 * may do in its VM, a device node or set-uid program that it leaves here does nothing on the host.
	 */
	if (share->readonly_recursive)
		attr.attr_set |= MOUNT_ATTR_RDONLY;
	if (mount_setattr(fd, "", AT_EMPTY_PATH | recursive, &attr, sizeof attr) < 0)
		return err_set_errno(err, "%s: cannot set mount attributes", share->path);
	memset(&attr, 0, sizeof attr);
	if (share->readonly)
		attr.attr_set |= MOUNT_ATTR_RDONLY;
	if (share->noexec)
		attr.attr_set |= MOUNT_ATTR_NOEXEC;
	if (share->noatime) {
		attr.attr_clr |= MOUNT_ATTR__ATIME;
		attr.attr_set |= MOUNT_ATTR_NOATIME;
	}
	if (is_mapped(share)) {
		user_namespace = open_user_namespace(share, err);
		if (user_namespace < 0)
			return -1;
		attr.attr_set |= MOUNT_ATTR_IDMAP;
		attr.userns_fd = (uint64_t)user_namespace;
	}
	if (!attr.attr_set)
		return 0;
	if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0) {
		if (attr.attr_set & MOUNT_ATTR_IDMAP)
			return err_set_errno(err, "%s: its file system or this kernel cannot map ids", share->path);
		return err_set_errno(err, "%s: cannot set mount attributes", share->path);
	}
	return 0;
}

/* Options are "key=value" or "flag", separated by commas; a backslash keeps a comma (overlay's own rule). */
static int configure(int fs, const struct oci_share *share, struct err *err)
{
	auto_free char *copy = strdup(share->fs_options ? share->fs_options : "");
	char *out, *in, *key;

	if (!copy)
		return err_set(err, ENOMEM, "out of memory");
	for (in = copy; *in;) {
		key = out = in;
		while (*in && *in != ',') {
			if (*in == '\\' && in[1] == ',')
				in++;
			*out++ = *in++;
		}
		if (*in)
			in++;
		*out = '\0';
		char *value = strchr(key, '=');
		if (value)
			*value++ = '\0';
		int result = value ? fsconfig(fs, FSCONFIG_SET_STRING, key, value, 0)
				   : fsconfig(fs, FSCONFIG_SET_FLAG, key, NULL, 0);
		if (result < 0)
			return err_set_errno(err, "mount of type %s: option %s", share->fs_type, key);
	}
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_set_errno(err, "cannot mount a file system of type %s (%s)", share->fs_type,
				     share->fs_options ? share->fs_options : "");
	return 0;
}

static int open_file_system(const struct oci_share *share, struct err *err)
{
	auto_fd int fs = fsopen(share->fs_type, FSOPEN_CLOEXEC);

	if (fs < 0)
		return err_set_errno(err, "mount of type %s", share->fs_type);
	if (configure(fs, share, err) < 0)
		return -1;
	unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (share->readonly ? MOUNT_ATTR_RDONLY : 0) |
			      (share->noexec ? MOUNT_ATTR_NOEXEC : 0) | (share->noatime ? MOUNT_ATTR_NOATIME : 0);
	int fd = fsmount(fs, FSMOUNT_CLOEXEC, attributes);
	return fd >= 0 ? fd : err_set_errno(err, "cannot mount a file system of type %s", share->fs_type);
}

static int open_plain(const struct oci_share *share, struct err *err)
{
	int fd = open(share->path, O_PATH | O_CLOEXEC | (share->is_file ? 0 : O_DIRECTORY));

	if (fd < 0)
		return err_set_errno(err, "%s", share->path);
	log_debug("%s: no right to clone the mount; the monitor alone keeps the guest to its options", share->path);
	return fd;
}

int share_clone(const struct oci_share *share, struct err *err)
{
	auto_fd int fd = open_tree(AT_FDCWD, share->path,
				   OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (share->recursive ? AT_RECURSIVE : 0));

	if (fd < 0)
		return err_set_errno(err, "%s", share->path);
	if (set_attributes(fd, share, err) < 0)
		return -1;
	return take_fd(&fd);
}

static bool can_clone(const struct oci_share *share)
{
	auto_fd int fd = open_tree(AT_FDCWD, share->path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	/* EPERM: no CAP_SYS_ADMIN. EINVAL: a mount of another namespace, or an unbindable one. */
	return fd >= 0 || (errno != EPERM && errno != EINVAL && errno != ENOSYS);
}

int share_open(const struct oci_share *share, struct err *err)
{
	if (share->fs_type)
		return open_file_system(share, err);
	if (!is_mapped(share) && !can_clone(share))
		return open_plain(share, err);
	return share_clone(share, err);
}
