/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_file.c - the file a request reads or writes: by a handle that the guest was given, or without one.
 *
 * OPEN and RELEASE are two more questions for each file that a program only reads from start to end. If all shares lie
 * on file systems that do not care when a file is opened or closed, OPEN is answered with "not needed": the guest's
 * driver then neither opens nor releases, and its requests carry handle 0. The file is opened for each of them, which
 * costs a small part of the request, and nothing stays open: a program written in the guest is never busy on the host.
 *
 * What the host says to an open is said to the first read or write then. The guest's kernel has checked permissions,
 * and this process may open what it is asked to (that is a condition), so little is left: a read-only mount on the host
 * inside of a share, an immutable file, a program that runs on the host.
 */
#include "vmm/fs_request.h"

#include "common/auto.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static bool has_capability(const struct fs_worker *worker, unsigned capability)
{
	return worker->creds.capabilities[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability);
}

bool fs_files_need_no_open(const struct fs_request *request)
{
	struct fs_server *server = request->server;

	/* A file stays readable for who has opened it, whatever becomes of its mode. Without these it would not. */
	if (!has_capability(request->worker, CAP_DAC_OVERRIDE) || !has_capability(request->worker, CAP_DAC_READ_SEARCH))
		return false;
	return server->caching.keep_data && fs_shares_open_plainly(&server->shares);
}

static int open_anew(struct fs_server *server, const struct fs_node *node, uint32_t flags)
{
	int host = (int)(flags & (O_ACCMODE | O_SYNC | O_DSYNC));

	/* The second node of a request, which nobody has looked at yet. */
	if (node->fd < 0) {
		errno = ESTALE;
		return -1;
	}
	if (!S_ISREG(node->type)) {
		errno = EBADF;
		return -1;
	}
	if ((flags & O_ACCMODE) != O_RDONLY && node->share->read_only) {
		errno = EROFS;
		return -1;
	}
	if (flags & O_NOATIME) {
		int fd = fs_open_node(server, node, host | O_NOATIME);

		if (fd >= 0 || errno != EPERM)
			return fd;
	}
	return fs_open_node(server, node, host);
}

int fs_file_get(struct fs_request *request, const struct fs_node *node, uint64_t id, uint32_t flags,
		struct fs_file *file)
{
	struct fs_server *server = request->server;

	*file = (struct fs_file){ .fd = -1 };
	if (id || !server->openless) {
		file->handle = fs_handles_get(&server->handles, id, node, FS_HANDLE_FILE);
		if (!file->handle)
			return EBADF;
		file->fd = file->handle->fd;
		return 0;
	}
	file->fd = open_anew(server, node, flags);
	return file->fd < 0 ? errno : 0;
}

void fs_file_put(struct fs_server *server, struct fs_file *file)
{
	if (file->handle)
		fs_handles_put(&server->handles, file->handle);
	else
		close_fd(&file->fd);
}
