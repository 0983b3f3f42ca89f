/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_dir.c - reading directories.
 *
 * Offsets are the host file system's own, so a program may seek in a directory as on the host. A reply has room for
 * some twenty entries; what the host listed beyond them is kept by the thread for the request that goes on there, since
 * most file systems begin anew with each seek: ext4 reads and sorts the whole block again. If another thread gets that
 * request, or another one comes in between, the host lists again.
 */
#include "vmm/fs_request.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As getdents64(2) lays it out; names end with 0. */
struct host_dirent {
	uint64_t ino;
	int64_t off;
	uint16_t length;
	uint8_t type;
	char name[];
};

/* A reply under construction, in the worker's scratch memory. */
struct listing {
	struct fs_request *request;
	bool plus;
	size_t used, size;
};

static size_t entry_size(const struct listing *list, size_t name_length)
{
	return list->plus ? FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS + name_length)
			  : FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + name_length);
}

static bool is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* One more entry; false if there is no room. The look-up comes after that question: what it counts must be sent. */
static bool list_add(struct listing *list, const struct fs_node *directory, const char *name, uint64_t ino,
		     int64_t next, unsigned type)
{
	size_t length = strlen(name), size = entry_size(list, length);
	uint8_t *at = list->request->worker->scratch + list->used;
	struct fuse_dirent dirent = { .ino = ino, .off = (uint64_t)next, .namelen = (uint32_t)length, .type = type };

	if (size > list->size - list->used)
		return false;
	memset(at, 0, size);
	if (list->plus) {
		struct fuse_entry_out entry;

		/* Gone meanwhile, or no more nodes to be had: an entry without a node, and the guest asks if it cares.
		 */
		if (!is_dot(name) && !fs_look_up_at(list->request, directory, name, &entry))
			memcpy(at, &entry, sizeof entry);
		at += sizeof entry;
	}
	memcpy(at, &dirent, FUSE_NAME_OFFSET);
	memcpy(at + FUSE_NAME_OFFSET, name, length);
	list->used += size;
	return true;
}

/* The synthetic root: "." at 0, ".." at 1, the share in slot n at n + 2. */
static void list_shares(struct listing *list, const struct fs_node *root, uint64_t from)
{
	if (from == 0) {
		if (!list_add(list, root, ".", 1, 1, S_IFDIR >> 12))
			return;
		from = 1;
	}
	if (from == 1) {
		if (!list_add(list, root, "..", 1, 2, S_IFDIR >> 12))
			return;
		from = 2;
	}
	if (from - 2 >= FS_SHARES_MAX)
		return;
	for (unsigned slot = (unsigned)from - 2;; slot++) {
		struct fs_share *share = fs_shares_at(&list->request->server->shares, &slot);

		if (!share)
			return;

		bool fits = list_add(list, root, share->name, slot + 2, slot + 3, share->type >> 12);

		fs_share_put(share);
		if (!fits)
			return;
	}
}

static const struct host_dirent *entry_at(const struct fs_entries_ahead *ahead, size_t at)
{
	/* The kernel aligns each entry to 8 bytes, and the buffer is aligned. */
	return (const void *)(ahead->data + at);
}

/* One getdents64 at `from`. Under the handle's lock. */
static int list_ahead(struct fs_entries_ahead *ahead, struct fs_handle *handle, uint64_t id, int64_t from)
{
	ahead->handle = 0;
	if (from != handle->position) {
		if (lseek(handle->fd, from, SEEK_SET) < 0)
			return errno;
		handle->position = from;
	}

	long got = syscall(SYS_getdents64, handle->fd, ahead->data, (size_t)FS_ENTRIES_MAX);

	if (got < 0)
		return errno;
	for (size_t at = 0; at < (size_t)got; at += entry_at(ahead, at)->length)
		handle->position = entry_at(ahead, at)->off;
	ahead->handle = id;
	ahead->offset = from;
	ahead->at = 0;
	ahead->end = (size_t)got;
	return 0;
}

/* As many of the host's entries from `from` on as there is room for. Under the handle's lock. */
static int list_host(struct listing *list, struct fs_handle *handle, uint64_t id, int64_t from)
{
	struct fs_entries_ahead *ahead = &list->request->worker->ahead;

	if (ahead->handle != id || ahead->offset != from || ahead->at == ahead->end) {
		int error = list_ahead(ahead, handle, id, from);

		if (error)
			return error;
	}
	while (ahead->at < ahead->end) {
		const struct host_dirent *entry = entry_at(ahead, ahead->at);

		if (!list_add(list, handle->node, entry->name, entry->ino ^ handle->node->salt, entry->off,
			      entry->type))
			break;
		ahead->offset = entry->off;
		ahead->at += entry->length;
	}
	return 0;
}

static int read_directory(struct fs_request *request, bool plus)
{
	const struct fuse_read_in *in = fs_take(request, sizeof *in);
	struct listing list = { .request = request, .plus = plus, .size = fs_reply_room(request) };
	struct fs_handle *handle =
		fs_handles_get(&request->server->handles, in->fh, request->node, FS_HANDLE_DIRECTORY);
	int error = 0;

	if (!handle)
		return EBADF;
	if (list.size > in->size)
		list.size = in->size;
	if (list.size > FS_REPLY_MAX)
		list.size = FS_REPLY_MAX;

	pthread_mutex_lock(&handle->reading);
	if (handle->fd < 0)
		list_shares(&list, request->node, in->offset);
	else if (list.size < entry_size(&list, FS_NAME_MAX))
		error = EINVAL; /* an entry that never fits would look like the end */
	else
		error = list_host(&list, handle, in->fh, (int64_t)in->offset);
	pthread_mutex_unlock(&handle->reading);
	fs_handles_put(&request->server->handles, handle);
	return error ? error : fs_reply(request, request->worker->scratch, list.used);
}

int fs_do_readdir(struct fs_request *request)
{
	return read_directory(request, false);
}

int fs_do_readdirplus(struct fs_request *request)
{
	return read_directory(request, true);
}

int fs_do_opendir(struct fs_request *request)
{
	struct fs_node *node = request->node;
	struct fuse_open_out out = { 0 };
	int fd = -1;

	if (!fs_node_is_root(node)) {
		fd = fs_open_node(request->server, node, O_RDONLY);
		if (fd < 0)
			return errno;
		/* The guest keeps the listing and drops it when the directory's mtime changes. */
		if (request->server->caching.keep_data)
			out.open_flags = FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR;
	}
	out.fh = fs_handles_add(&request->server->handles, node, fd, FS_HANDLE_DIRECTORY);
	return out.fh ? fs_reply(request, &out, sizeof out) : errno;
}

int fs_do_releasedir(struct fs_request *request)
{
	const struct fuse_release_in *in = fs_take(request, sizeof *in);

	return fs_handles_release(&request->server->handles, in->fh, request->node, FS_HANDLE_DIRECTORY) ? 0 : EBADF;
}

int fs_do_fsyncdir(struct fs_request *request)
{
	const struct fuse_fsync_in *in = fs_take(request, sizeof *in);
	struct fs_handles *handles = &request->server->handles;
	struct fs_handle *handle = fs_handles_get(handles, in->fh, request->node, FS_HANDLE_DIRECTORY);
	int error = 0;

	if (!handle)
		return EBADF;
	if (handle->fd >= 0 && (in->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(handle->fd) : fsync(handle->fd)))
		error = errno;
	fs_handles_put(handles, handle);
	return error;
}
