/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/proxy_root.h"

#include "runtime/share.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/fd_stat.h"
#include "common/log.h"

#include "oci/describe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* An empty file system in memory, mounted nowhere. Its inodes are counted, so that nobody can fill it. */
static int make_empty(const char *inodes, unsigned attributes, struct err *err)
{
	auto_fd int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	int fd = -1;

	if (fs >= 0 && !fsconfig(fs, FSCONFIG_SET_STRING, "size", "4k", 0) &&
	    !fsconfig(fs, FSCONFIG_SET_STRING, "nr_inodes", inodes, 0) &&
	    !fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0555", 0) && !fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		fd = fsmount(fs, FSMOUNT_CLOEXEC,
			     attributes | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	return fd >= 0 ? fd : err_set_errno(err, "cannot make an empty file system for the proxy");
}

/* ---- bulkhead's side ---- */

static int send_mount(int socket, int mount_fd, const char *path)
{
	char control[CMSG_SPACE(sizeof mount_fd)] = { 0 };
	struct iovec data = { .iov_base = (char *)(size_t)path, .iov_len = strlen(path) };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof control,
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof mount_fd);
	memcpy(CMSG_DATA(header), &mount_fd, sizeof mount_fd);
	/* The proxy reads much later: a full socket must not stop us. */
	return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -1 : 0;
}

static int pack_share(int socket, const struct oci_share *share, const char *path, struct err *err)
{
	auto_fd int fd = share_clone(share, err);

	if (fd < 0)
		return -1;
	return send_mount(socket, fd, path) < 0 ? err_set_errno(err, "%s", path) : 0;
}

static const struct oci_share *find_share(const struct oci_shares *shares, const char *name)
{
	for (size_t i = 0; i < shares->count; i++) {
		if (strcmp(shares->items[i].name, name) == 0)
			return &shares->items[i];
	}
	return NULL;
}

static bool is_in_memory(const agent_Mount *mount)
{
	return !mount->share && mount->type && (strcmp(mount->type, "tmpfs") == 0 || strcmp(mount->type, "ramfs") == 0);
}

/* What follows `above` in `path`, both as the configuration spells them; NULL if that is not below. */
static const char *part_below(const char *above, const char *path)
{
	size_t length = strlen(above);

	while (length > 1 && above[length - 1] == '/')
		length--;
	if (strncmp(path, above, length) != 0 || path[length] != '/')
		return NULL;
	path += length;
	path += strspn(path, "/");
	return *path ? path : NULL;
}

/* In a file system that nobody else has yet; so `..` leads nowhere, and there are no links. */
static int make_place(int root, const char *path, bool is_file)
{
	char part[PATH_MAX];
	size_t length = strlen(path);

	if (length >= sizeof part) {
		errno = ENAMETOOLONG;
		return -1;
	}
	for (size_t i = 0; i <= length; i++) {
		part[i] = '\0';
		if (i && (path[i] == '/' || (!path[i] && !is_file)) && mkdirat(root, part, 0555) < 0 && errno != EEXIST)
			return -1;
		part[i] = path[i];
	}
	if (!is_file)
		return 0;
	auto_fd int fd = openat(root, path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0444);
	return fd < 0 ? -1 : 0;
}

/* Read-only and empty, with places for what is mounted in it. */
static int pack_cover(int socket, const agent_Container *container, size_t which, struct err *err)
{
	struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY };
	const char *destination = container->mounts[which].destination;
	auto_fd int fd = make_empty("1024", 0, err);

	if (fd < 0)
		return -1;
	for (size_t i = which + 1; i < container->mounts_count; i++) {
		const agent_Mount *mount = &container->mounts[i];
		const char *below =
			mount->share || is_in_memory(mount) ? part_below(destination, mount->destination) : NULL;

		if (below && make_place(fd, below, mount->source_is_file) < 0)
			log_debug("not in the proxy's mount namespace: %s: %s", mount->destination, strerror(errno));
	}
	if (mount_setattr(fd, "", AT_EMPTY_PATH, &read_only, sizeof read_only) < 0 ||
	    send_mount(socket, fd, destination) < 0)
		return err_set_errno(err, "%s", destination);
	return 0;
}

int proxy_root_pack(const struct oci_shares *shares, const agent_Container *container, struct err *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set_errno(err, "cannot make a socket pair");
	auto_fd int ours = pair[0];
	auto_fd int theirs = pair[1];
	if (pack_share(ours, &shares->items[0], "/", err) < 0)
		return -1;
	for (size_t i = 0; i < container->mounts_count; i++) {
		const agent_Mount *mount = &container->mounts[i];
		const struct oci_share *share = mount->share ? find_share(shares, mount->source) : NULL;
		struct err why = ERR_INIT;

		if (share && share->path)
			(void)pack_share(ours, share, mount->destination, &why);
		else if (is_in_memory(mount))
			(void)pack_cover(ours, container, i, &why);
		if (why.code)
			log_debug("not in the proxy's mount namespace: %s", why.text);
	}
	return take_fd(&theirs);
}

/* ---- the proxy's side ---- */

/* The next mount and its path, or -1. */
static int receive_mount(int socket, char path[PATH_MAX])
{
	int fd = -1;
	char control[CMSG_SPACE(sizeof fd)];
	struct iovec data = { .iov_base = path, .iov_len = PATH_MAX - 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof control,
	};
	ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	if (!header || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof fd))
		return -1;
	path[n] = '\0';
	memcpy(&fd, CMSG_DATA(header), sizeof fd);
	return fd;
}

/* By now the guest can write to the root: a link in it must not lead this process out. */
static int attach(int root, int mount_fd, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	auto_fd int target = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
	struct stat ours, there;

	if (target < 0 || fd_stat(mount_fd, &ours) < 0 || fd_stat(target, &there) < 0)
		return -1;
	if (S_ISDIR(ours.st_mode) != S_ISDIR(there.st_mode)) {
		errno = ENOTDIR;
		return -1;
	}
	return move_mount(mount_fd, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static void attach_all(int root, int packed)
{
	char path[PATH_MAX];

	for (;;) {
		auto_fd int fd = receive_mount(packed, path);

		if (fd < 0)
			return;
		if (attach(root, fd, path) < 0)
			log_debug("not in the proxy's mount namespace: %s: %s", path, strerror(errno));
	}
}

int proxy_root_detach(int dirfd, const char *name, bool read_only, struct err *err)
{
	struct mount_attr attr = {
		.attr_set =
			MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | (read_only ? MOUNT_ATTR_RDONLY : 0),
		.propagation = MS_PRIVATE,
	};
	auto_fd int fd = open_tree(dirfd, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

	if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
		return err_set_errno(err, "cannot detach the state directory for the proxy");
	return take_fd(&fd);
}

int proxy_root_enter(int *packed_fd, struct err *err)
{
	char path[PATH_MAX];
	auto_fd int packed = take_fd(packed_fd);
	auto_fd int root = packed < 0 ? make_empty("1", MOUNT_ATTR_RDONLY, err) : receive_mount(packed, path);

	if (root < 0)
		return packed < 0 ? -1 : err_set(err, EPROTO, "no root for the proxy's mount namespace");
	/* Private, so that nothing done here is seen on the host. Any directory will do to attach the new root to. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_set_errno(err, "cannot make a mount namespace for the proxy");
	if (move_mount(root, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH) < 0 || fchdir(root) < 0)
		return err_set_errno(err, "cannot mount the container's root for the proxy");
	if (packed >= 0)
		attach_all(root, packed);
	close_fd(&root);
	if (syscall(SYS_pivot_root, ".", ".") == 0) {
		/* The old root lies over the new one: with it go all mounts of the host. */
		if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
			return err_set_errno(err, "cannot leave the host's mounts");
		return 0;
	}
	/* A host that runs from its initramfs cannot pivot: there the new root covers the old one. */
	if (errno != EINVAL || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return err_set_errno(err, "cannot make the container's root the proxy's");
	return 0;
}
