/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/fs_request.h"

#include "vmm/virtqueue.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

const void *fs_take(struct fs_request *request, size_t size)
{
	if (request->args_length - request->args_taken < size)
		return NULL;

	const void *taken = request->args + request->args_taken;

	request->args_taken += size;
	return taken;
}

const char *fs_take_text(struct fs_request *request, size_t max, int *error)
{
	const char *text = (const char *)request->args + request->args_taken;
	size_t left = request->args_length - request->args_taken;
	const char *end = memchr(text, 0, left);

	if (!end) {
		*error = EINVAL;
		return NULL;
	}
	if ((size_t)(end - text) > max) {
		*error = ENAMETOOLONG;
		return NULL;
	}
	request->args_taken += (size_t)(end - text) + 1;
	return text;
}

int fs_name_check(const char *name, size_t length)
{
	if (length > FS_NAME_MAX)
		return ENAMETOOLONG;
	if (length == 0 || memchr(name, '/', length) || memchr(name, 0, length))
		return EINVAL;
	if (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.')))
		return EINVAL;
	return 0;
}

const char *fs_take_name(struct fs_request *request, int *error)
{
	const char *name = fs_take_text(request, FS_NAME_MAX, error);

	if (!name)
		return NULL;
	*error = fs_name_check(name, strlen(name));
	return *error ? NULL : name;
}

bool fs_args_are_taken(const struct fs_request *request)
{
	return request->args_taken == request->args_length;
}

size_t fs_reply_room(const struct fs_request *request)
{
	return request->out.length - sizeof(struct fuse_out_header) - request->reply_length;
}

int fs_reply(struct fs_request *request, const void *data, size_t length)
{
	if (length > fs_reply_room(request))
		return ERANGE;
	iovec_write(request->out.iov, request->out.count, sizeof(struct fuse_out_header) + request->reply_length, data,
		    length);
	request->reply_length += length;
	return 0;
}

struct fs_proc_name fs_proc_name(const struct fs_node *node)
{
	struct fs_proc_name name;

	assert(node->fd >= 0);
	snprintf(name.text, sizeof name.text, "%d", node->fd);
	return name;
}

int fs_open_node(struct fs_server *server, const struct fs_node *node, int flags)
{
	/* A directory opens itself, "." cannot lead elsewhere. */
	if (S_ISDIR(node->type))
		return openat(node->fd, ".", flags | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	/*
	 * Opening a device, a fifo or a socket would act on the host, or block. The type was seen on this very
	 * descriptor, and no inode changes its type.
	 */
	if (!S_ISREG(node->type)) {
		errno = S_ISLNK(node->type) ? ELOOP : ENXIO;
		return -1;
	}
	/*
	 * The descriptor's own link: it is followed to the inode the descriptor holds, and no name is resolved. The
	 * number cannot be another file's meanwhile, since the request holds the node.
	 */
	return openat(server->proc_fd, fs_proc_name(node).text, flags | O_CLOEXEC | O_NOCTTY);
}
