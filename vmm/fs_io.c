/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_io.c - the contents of files. Data goes between the host's file and the guest's memory without a copy here.
 */
#include "vmm/fs_request.h"

#include "vmm/virtqueue.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* One COPY_FILE_RANGE keeps a thread busy for so long at most; the guest asks again for the rest. */
#define COPY_MAX (256ull << 20)

int fs_do_read(struct fs_request *request)
{
	const struct fuse_read_in *in = fs_take(request, sizeof *in);
	struct iovec iov[VIRTQ_CHAIN_MAX];
	size_t size = fs_reply_room(request);
	struct fs_file file;

	if (in->offset > INT64_MAX)
		return EINVAL;
	if (size > in->size)
		size = in->size;

	unsigned count = iovec_slice(request->out.iov, request->out.count, sizeof(struct fuse_out_header), size, iov,
				     VIRTQ_CHAIN_MAX);
	int error = fs_file_get(request, request->node, in->fh, in->flags & O_NOATIME, &file);
	ssize_t got = error ? 0 : preadv2(file.fd, iov, (int)count, (off_t)in->offset, 0);

	if (got < 0)
		error = errno;
	else
		request->reply_length = (size_t)got;
	fs_file_put(request->server, &file);
	return error;
}

/* Whether a write of this request takes set-uid and set-gid bits away; the guest leaves that to us. */
static int keep_setid(struct fs_request *request, bool keep)
{
	return fs_creds_keep_setid(&request->worker->creds, keep);
}

int fs_do_write(struct fs_request *request)
{
	const struct fuse_write_in *in = fs_take(request, sizeof *in);
	size_t data_at = sizeof request->header + sizeof *in;
	struct fuse_write_out out = { 0 };
	struct iovec iov[VIRTQ_CHAIN_MAX];

	if (in->offset > INT64_MAX || request->in.length - data_at != in->size)
		return EINVAL;

	int error = keep_setid(request, !(in->write_flags & FUSE_WRITE_KILL_SUIDGID));

	if (error)
		return error;

	struct fs_file file;

	error = fs_file_get(request, request->node, in->fh, O_WRONLY | (in->flags & (O_SYNC | O_DSYNC)), &file);
	if (error)
		return error;

	/*
	 * Appending is asked for by the program, with the flags its file has now. A page written back from the cache
	 * (WRITE_CACHE) uses any handle that is there, and belongs at its offset.
	 */
	bool append = in->flags & O_APPEND && !(in->write_flags & FUSE_WRITE_CACHE);
	unsigned count = iovec_slice(request->in.iov, request->in.count, data_at, in->size, iov, VIRTQ_CHAIN_MAX);
	ssize_t put = pwritev2(file.fd, iov, (int)count, (off_t)in->offset, append ? RWF_APPEND : 0);

	if (put < 0)
		error = errno;
	else
		out.size = (uint32_t)put;
	fs_file_put(request->server, &file);
	return error ? error : fs_reply(request, &out, sizeof out);
}

int fs_do_lseek(struct fs_request *request)
{
	const struct fuse_lseek_in *in = fs_take(request, sizeof *in);
	struct fuse_lseek_out out = { 0 };
	struct fs_file file;

	/* The others are the guest's own to answer. */
	if (in->whence != SEEK_DATA && in->whence != SEEK_HOLE)
		return EINVAL;
	if (in->offset > INT64_MAX)
		return ENXIO;

	int error = fs_file_get(request, request->node, in->fh, O_RDONLY, &file);

	if (error)
		return error;

	/* Moves the descriptor's position, which nothing else uses. */
	off_t found = lseek(file.fd, (off_t)in->offset, (int)in->whence);

	if (found < 0)
		error = errno;
	else
		out.offset = (uint64_t)found;
	fs_file_put(request->server, &file);
	return error ? error : fs_reply(request, &out, sizeof out);
}

int fs_do_fallocate(struct fs_request *request)
{
	const struct fuse_fallocate_in *in = fs_take(request, sizeof *in);
	struct fs_file file;
	int error;

	if (in->mode & ~(uint32_t)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return EOPNOTSUPP;
	if (in->offset > INT64_MAX || in->length > INT64_MAX)
		return EFBIG;
	/* The request does not say; only root is likely to be someone whose writes leave the bits alone. */
	error = keep_setid(request, request->header.uid == 0);
	if (error)
		return error;

	error = fs_file_get(request, request->node, in->fh, O_WRONLY, &file);
	if (!error && fallocate(file.fd, (int)in->mode, (off_t)in->offset, (off_t)in->length))
		error = errno;
	fs_file_put(request->server, &file);
	return error;
}

static int copy_between(int from, int to, const struct fuse_copy_file_range_in *in, struct fuse_write_out *out)
{
	off_t from_at = (off_t)in->off_in, to_at = (off_t)in->off_out;
	ssize_t copied = copy_file_range(from, &from_at, to, &to_at, in->len < COPY_MAX ? in->len : COPY_MAX, 0);

	if (copied < 0)
		return errno;
	out->size = (uint32_t)copied;
	return 0;
}

int fs_do_copy_file_range(struct fs_request *request)
{
	const struct fuse_copy_file_range_in *in = fs_take(request, sizeof *in);
	struct fs_server *server = request->server;
	struct fuse_write_out out = { 0 };

	if (in->flags || in->off_in > INT64_MAX || in->off_out > INT64_MAX)
		return EINVAL;

	int error = keep_setid(request, request->header.uid == 0);

	if (error)
		return error;

	struct fs_node *node = fs_nodes_get(&server->nodes, in->nodeid_out);
	struct fs_file from = { .fd = -1 }, to = { .fd = -1 };

	/* A handle on a read-only share is never open for writing: the host refuses it. */
	error = node && !fs_node_is_root(node) ? fs_file_get(request, node, in->fh_out, O_WRONLY, &to) : EBADF;
	if (!error)
		error = fs_file_get(request, request->node, in->fh_in, O_RDONLY, &from);
	if (!error)
		error = copy_between(from.fd, to.fd, in, &out);
	fs_file_put(server, &from);
	fs_file_put(server, &to);
	fs_nodes_put(&server->nodes, node);
	return error ? error : fs_reply(request, &out, sizeof out);
}
