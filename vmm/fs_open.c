/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_open.c - opening, making and opening, closing, and bringing to the disk.
 */
#include "vmm/fs_request.h"

#include "common/auto.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static bool flags_write(uint32_t flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
}

/*
 * What of the guest's open flags concerns the host. Not O_APPEND: WRITE says for each request whether it is meant, and
 * a page written back late must go where it belongs. Not O_DIRECT: it passes by the guest's cache, but pages written
 * back through the same handle are not aligned as the host's file system may want. Everything else (O_CREAT, O_PATH,
 * O_TMPFILE, O_NONBLOCK, ...) is decided here.
 */
static int host_flags(const struct fs_request *request, uint32_t flags)
{
	/* To write a part of a page back, the guest first reads the whole page, through whatever handle there is. */
	if (request->server->write_back && (flags & O_ACCMODE) == O_WRONLY)
		flags ^= O_WRONLY | O_RDWR;
	return (int)(flags & (O_ACCMODE | O_SYNC | O_DSYNC));
}

static int open_file(struct fs_request *request, const struct fs_node *node, uint32_t flags, uint32_t open_flags)
{
	int host = host_flags(request, flags);

	if ((flags & O_ACCMODE) == O_ACCMODE) {
		errno = EINVAL;
		return -1;
	}
	if (flags & O_TRUNC) {
		host |= O_TRUNC;
		errno = fs_creds_keep_setid(&request->worker->creds, !(open_flags & FUSE_OPEN_KILL_SUIDGID));
		if (errno)
			return -1;
	}
	if (flags & O_NOATIME) {
		int fd = fs_open_node(request->server, node, host | O_NOATIME);

		/* Allowed to the owner only. The guest has allowed it, the host may not be able to: no harm done. */
		if (fd >= 0 || errno != EPERM)
			return fd;
	}
	return fs_open_node(request->server, node, host);
}

static uint32_t reply_flags(struct fs_request *request, const struct fs_node *node, uint32_t flags)
{
	const struct fs_share *share = node->share;
	/* Writes past the cache need no order among each other here: the host kernel has its own. */
	uint32_t reply = FOPEN_PARALLEL_DIRECT_WRITES;

	/*
	 * Cached pages stay over a re-open: AUTO_INVAL_DATA drops them when size or mtime have changed, and the guest
	 * asks for those as often as it asks for names.
	 */
	reply |= request->server->caching.keep_data ? FOPEN_KEEP_CACHE : FOPEN_DIRECT_IO;
	/*
	 * A FLUSH with every close is for file systems that write back, and may fail, at close. Nothing was written, or
	 * it is not such a file system: then it is not needed. Mapped pages reach us when they are unmapped.
	 */
	bool is_quiet = share->quiet_close && share->mount == node->key.mount && share->device == node->key.device;

	if (!flags_write(flags) || is_quiet)
		reply |= FOPEN_NOFLUSH;
	return reply;
}

/* Makes a handle of `fd` (taken) and fills the reply. 0 or an errno value. */
static int enter_handle(struct fs_request *request, struct fs_node *node, int fd, uint32_t flags,
			struct fuse_open_out *out)
{
	/* A driver that does not open does not release either, not even what it has created. */
	if (request->server->openless) {
		close_fd(&fd);
		*out = (struct fuse_open_out){ .open_flags = FOPEN_KEEP_CACHE };
		return 0;
	}
	*out = (struct fuse_open_out){ .fh = fs_handles_add(&request->server->handles, node, fd, FS_HANDLE_FILE) };
	if (!out->fh)
		return errno;
	out->open_flags = reply_flags(request, node, flags);
	return 0;
}

int fs_do_open(struct fs_request *request)
{
	const struct fuse_open_in *in = fs_take(request, sizeof *in);
	struct fs_node *node = request->node;
	struct fuse_open_out out;

	if (S_ISDIR(node->type))
		return EISDIR;
	if (flags_write(in->flags) && node->share->read_only)
		return EROFS;

	int fd = open_file(request, node, in->flags, in->open_flags);
	int error = fd < 0 ? errno : enter_handle(request, node, fd, in->flags, &out);

	return error ? error : fs_reply(request, &out, sizeof out);
}

/* --- CREATE and TMPFILE ------------------------------------------------------------------------------------------ */

struct created {
	struct fuse_entry_out entry;
	struct fuse_open_out open;
};
_Static_assert(sizeof(struct created) == sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out), "no padding");

/* Enters node and handle of the new file behind `fd` (taken). */
static int enter_created(struct fs_request *request, int fd, uint32_t flags, struct created *out)
{
	auto_fd int file = fd;
	struct fs_node *node = NULL;
	char name[12];

	snprintf(name, sizeof name, "%d", file);

	/* A node holds O_PATH: an open file would keep the host from executing it. */
	int path = openat(request->server->proc_fd, name, O_PATH | O_CLOEXEC);
	int error = path < 0 ? errno : fs_enter_made(request, request->node, path, &out->entry, &node);

	if (error)
		return error;
	error = enter_handle(request, node, take_fd(&file), flags, &out->open);
	if (error)
		fs_nodes_forget(&request->server->nodes, out->entry.nodeid, 1);
	fs_nodes_put(&request->server->nodes, node);
	return error;
}

/* The name was free when the guest looked, and is not any more: someone on the host was faster. */
static int open_existing(struct fs_request *request, const char *name, const struct fuse_create_in *in,
			 struct created *out)
{
	struct fs_nodes *nodes = &request->server->nodes;
	int error = fs_look_up_at(request, request->node, name, &out->entry);

	if (error)
		return error;

	struct fs_node *node = fs_nodes_get(nodes, out->entry.nodeid);

	if (!node)
		return ESTALE;
	/* ESTALE makes the guest look again and do what one does with a link, a fifo, a directory. */
	error = S_ISREG(node->type) ? 0 : ESTALE;
	if (!error) {
		int fd = open_file(request, node, in->flags, in->open_flags);

		error = fd < 0 ? errno : enter_handle(request, node, fd, in->flags, &out->open);
	}
	if (error)
		fs_nodes_forget(nodes, out->entry.nodeid, 1);
	fs_nodes_put(nodes, node);
	return error;
}

static int prepare(struct fs_request *request, const struct fuse_create_in *in)
{
	struct fs_handles *handles = &request->server->handles;

	if ((in->flags & O_ACCMODE) == O_ACCMODE)
		return EINVAL;
	if (fs_handles_count(handles) >= handles->ids.max)
		return ENFILE;
	return fs_prepare_creation(request, in->mode, in->umask);
}

int fs_do_create(struct fs_request *request)
{
	const struct fuse_create_in *in = fs_take(request, sizeof *in);
	struct created out;
	int error = 0;
	const char *name = fs_take_name(request, &error);

	if (!name)
		return error;
	if (!fs_args_are_taken(request))
		return EINVAL;
	error = prepare(request, in);
	if (error)
		return error;

	/* O_EXCL always: what is opened here is a new regular file, never a link, fifo or device that stands there. */
	int fd = openat(request->node->fd, name,
			host_flags(request, in->flags) | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, in->mode & 07777);

	if (fd >= 0)
		error = enter_created(request, fd, in->flags, &out);
	else if (errno == EEXIST && !(in->flags & O_EXCL))
		error = open_existing(request, name, in, &out);
	else
		error = errno;
	return error ? error : fs_reply(request, &out, sizeof out);
}

int fs_do_tmpfile(struct fs_request *request)
{
	/* The name behind it is a slash: there is none, and none is needed. */
	const struct fuse_create_in *in = fs_take(request, sizeof *in);
	struct created out;
	int error = prepare(request, in);

	if (error)
		return error;
	if ((in->flags & O_ACCMODE) == O_RDONLY)
		return EINVAL;

	/* O_EXCL here means that it can never be linked to a name. */
	int fd = openat(request->node->fd, ".",
			host_flags(request, in->flags) | O_TMPFILE | O_CLOEXEC | (int)(in->flags & O_EXCL),
			in->mode & 07777);

	error = fd < 0 ? errno : enter_created(request, fd, in->flags, &out);
	return error ? error : fs_reply(request, &out, sizeof out);
}

/* --- closing ----------------------------------------------------------------------------------------------------- */

int fs_do_flush(struct fs_request *request)
{
	const struct fuse_flush_in *in = fs_take(request, sizeof *in);
	struct fs_handles *handles = &request->server->handles;
	struct fs_handle *handle = fs_handles_get(handles, in->fh, request->node, FS_HANDLE_FILE);

	if (!handle)
		return EBADF;

	/* A close of a duplicate reports what the close of the file would, and the handle stays open. */
	int copy = fcntl(handle->fd, F_DUPFD_CLOEXEC, 0);
	int error = copy < 0 || close(copy) ? errno : 0;

	fs_handles_put(handles, handle);
	return error;
}

int fs_do_release(struct fs_request *request)
{
	const struct fuse_release_in *in = fs_take(request, sizeof *in);

	/* What was created before the driver knew that it need not open. */
	if (!in->fh && request->server->openless)
		return 0;
	return fs_handles_release(&request->server->handles, in->fh, request->node, FS_HANDLE_FILE) ? 0 : EBADF;
}

/* --- to the disk ------------------------------------------------------------------------------------------------- */

int fs_do_fsync(struct fs_request *request)
{
	const struct fuse_fsync_in *in = fs_take(request, sizeof *in);
	struct fs_file file;
	int error = fs_file_get(request, request->node, in->fh, O_RDONLY, &file);

	if (!error && (in->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(file.fd) : fsync(file.fd)))
		error = errno;
	fs_file_put(request->server, &file);
	return error;
}

static int sync_share(struct fs_share *share)
{
	auto_fd int fd = -1;
	char name[12];

	if (S_ISDIR(share->type)) {
		fd = openat(share->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	} else {
		/* The worker's working directory is /proc/self/fd. */
		snprintf(name, sizeof name, "%d", share->fd);
		fd = openat(AT_FDCWD, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	}
	return fd < 0 || syncfs(fd) ? errno : 0;
}

/* The guest has one file system; the host may have several under it, and each is synced once. */
static int sync_all_shares(struct fs_server *server)
{
	uint64_t done[8];
	unsigned count = 0;
	int error = 0;

	for (unsigned slot = 0;; slot++) {
		struct fs_share *share = fs_shares_at(&server->shares, &slot);
		bool skip = false;

		if (!share)
			return error;
		for (unsigned i = 0; i < count; i++)
			skip = skip || done[i] == share->device;
		if (!share->read_only && !skip) {
			int result = sync_share(share);

			error = error ? error : result;
			if (count < sizeof done / sizeof *done)
				done[count++] = share->device;
		}
		fs_share_put(share);
	}
}

int fs_do_syncfs(struct fs_request *request)
{
	if (fs_node_is_root(request->node))
		return sync_all_shares(request->server);
	if (request->node->share->read_only)
		return 0;

	auto_fd int fd = fs_open_node(request->server, request->node, O_RDONLY);

	return fd < 0 || syncfs(fd) ? errno : 0;
}
