/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_xattr.c - extended attributes, by name space:
 *
 *     user.*                    passed through
 *     system.posix_acl_*        passed through; the guest checks them
 *     security.capability       passed through, as for a container under runc
 *     security.* otherwise      not supported: labels are the host's own
 *     trusted.*                 as any process without CAP_SYS_ADMIN on the host sees them: not there, not to be set.
 *                               The host's overlayfs believes what it reads in trusted.overlay.*
 *     anything else             not supported
 *
 * The calls want a path, since a descriptor opened with O_PATH is refused: it is the descriptor's number, in the
 * worker's working directory /proc/self/fd, and leads to the inode itself.
 */
#include "vmm/fs_request.h"

#include "common/fd_stat.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

static bool starts_with(const char *name, const char *prefix)
{
	return !strncmp(name, prefix, strlen(prefix));
}

enum access { PASSED, HIDDEN, UNSUPPORTED };

static enum access access_of(const char *name)
{
	if (starts_with(name, "user.") || !strcmp(name, "security.capability") ||
	    !strcmp(name, "system.posix_acl_access") || !strcmp(name, "system.posix_acl_default"))
		return PASSED;
	return starts_with(name, "trusted.") ? HIDDEN : UNSUPPORTED;
}

/* The name, next of the arguments. With *error set on refusal: `hidden` is what one gets who asks for trusted.*. */
static const char *take_name(struct fs_request *request, int hidden, int *error)
{
	const char *name = fs_take_text(request, FS_NAME_MAX, error);

	if (!name) {
		if (*error == ENAMETOOLONG)
			*error = ERANGE; /* what the system calls say */
		return NULL;
	}
	switch (access_of(name)) {
	case PASSED:
		return name;
	case HIDDEN:
		*error = hidden;
		return NULL;
	default:
		*error = EOPNOTSUPP;
		return NULL;
	}
}

/* An ACL that turns group permissions into a mask can leave a set-gid bit that its setter may not give. */
static int drop_setgid(struct fs_request *request)
{
	struct stat st;

	if (fd_stat(request->node->fd, &st))
		return errno;
	if (!(st.st_mode & S_ISGID))
		return 0;
	return fchmodat(request->server->proc_fd, fs_proc_name(request->node).text,
			st.st_mode & 07777 & ~(unsigned)S_ISGID, 0)
		       ? errno
		       : 0;
}

int fs_do_setxattr(struct fs_request *request)
{
	const struct fuse_setxattr_in *in = fs_take(request, sizeof *in);
	int error = 0;
	const char *name = take_name(request, EPERM, &error);

	if (!name)
		return error;
	if (in->flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE) || in->size > FS_XATTR_VALUE_MAX)
		return EINVAL;

	const void *value = fs_take(request, in->size);

	if (!value || !fs_args_are_taken(request))
		return EINVAL;
	/* What setting an ACL does to a set-gid bit is said by the flag below, not by the groups of this process. */
	error = fs_creds_keep_setid(&request->worker->creds, true);
	if (error)
		return error;
	if (setxattr(fs_proc_name(request->node).text, name, value, in->size, (int)in->flags))
		return errno;
	return in->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID ? drop_setgid(request) : 0;
}

/* The reply to GETXATTR and LISTXATTR: the bytes, or how many there are if the guest has asked for that. */
static int reply_sized(struct fs_request *request, uint32_t asked, const void *data, size_t length)
{
	struct fuse_getxattr_out out = { .size = (uint32_t)length };

	if (!asked)
		return fs_reply(request, &out, sizeof out);
	return length > asked ? ERANGE : fs_reply(request, data, length);
}

int fs_do_getxattr(struct fs_request *request)
{
	const struct fuse_getxattr_in *in = fs_take(request, sizeof *in);
	uint8_t *value = request->worker->scratch;
	int error = 0;
	const char *name = take_name(request, ENODATA, &error);

	if (!name)
		return error;
	if (!fs_args_are_taken(request))
		return EINVAL;
	if (fs_node_is_root(request->node))
		return ENODATA;

	ssize_t length = getxattr(fs_proc_name(request->node).text, name, value, FS_REPLY_MAX);

	return length < 0 ? errno : reply_sized(request, in->size, value, (size_t)length);
}

int fs_do_listxattr(struct fs_request *request)
{
	const struct fuse_getxattr_in *in = fs_take(request, sizeof *in);
	char *all = (char *)request->worker->listing, *shown = (char *)request->worker->scratch;
	size_t used = 0;

	if (fs_node_is_root(request->node))
		return reply_sized(request, in->size, shown, 0);

	ssize_t length = listxattr(fs_proc_name(request->node).text, all, FS_REPLY_MAX);

	if (length < 0)
		return errno;
	for (ssize_t at = 0; at < length;) {
		size_t size = strlen(all + at) + 1;

		if (access_of(all + at) == PASSED) {
			memcpy(shown + used, all + at, size);
			used += size;
		}
		at += (ssize_t)size;
	}
	return reply_sized(request, in->size, shown, used);
}

int fs_do_removexattr(struct fs_request *request)
{
	int error = 0;
	const char *name = take_name(request, EPERM, &error);

	if (!name)
		return error;
	if (!fs_args_are_taken(request))
		return EINVAL;
	return removexattr(fs_proc_name(request->node).text, name) ? errno : 0;
}
