/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/fs_tables.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/fd_stat.h"
#include "vmm/fs_attr.h"
#include "vmm/fs_content.h"
#include "vmm/fs_request.h"
#include "vmm/guest_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FLAG_ROOT = 1, FLAG_SUBMOUNT = 2, FLAG_CARRIED = 4, FLAG_GONE = 8, FLAGS = 15 };
enum { NODES_MAX = 1 << 20, TEXT_MAX_BYTES = 48 << 20 };

struct saved_tables {
	/* What slots that are free now get, so that no number comes a second time. */
	uint32_t node_generation, handle_generation;
	uint32_t openless, reserved;
};

struct saved_share {
	char name[VMM_NAME_MAX];
	uint32_t type, plain_open;
};

struct saved_node {
	uint64_t id, lookups;
	uint64_t size, mtime_ns; /* of a regular file */
	uint64_t content;        /* FLAG_CARRIED: where in the memory file */
	uint64_t content_sum;
	uint32_t share, flags;
	uint32_t path, path_length; /* in the text */
	uint32_t mode, uid, gid, reserved;
};

struct saved_handle {
	uint64_t id, node;
	uint32_t kind, flags;
};

struct saved_piece {
	uint64_t node, offset;
	uint32_t index, reserved;
};

_Static_assert(sizeof(struct saved_node) == 80 && sizeof(struct saved_handle) == 24 && sizeof(struct saved_piece) == 24,
	       "no padding");

/* An entry of the share, or of what is below it; never out of it, and a link is opened itself. */
static int open_below(const struct fs_share *share, const char *path)
{
	const struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
				      .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };

	return *path ? (int)syscall(SYS_openat2, share->fd, path, &how, sizeof how)
		     : fcntl(share->fd, F_DUPFD_CLOEXEC, 0);
}

static uint64_t mtime_of(const struct stat *st)
{
	return (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;
}

/* What an archive brought back has whole seconds (those of tar, and so Podman's checkpoints). */
static bool has_time(const struct stat *st, uint64_t mtime_ns)
{
	return mtime_of(st) == mtime_ns ||
	       (st->st_mtim.tv_nsec == 0 && (uint64_t)st->st_mtim.tv_sec == mtime_ns / 1000000000u);
}

/* --- saving ------------------------------------------------------------------------------------------------ */

struct saving {
	struct fs_server *server;
	struct fs_share *shares[FS_SHARES_MAX]; /* each with a reference */
	char *prefixes[FS_SHARES_MAX];          /* the names of their roots, as /proc has them */
	unsigned share_count;
	char *text; /* paths, one after the other */
	size_t text_length, text_room;
	int fd;
	uint64_t *end;
};

static int name_of(const struct fs_server *server, int fd, char out[PATH_MAX])
{
	char number[16];

	snprintf(number, sizeof number, "%d", fd);
	ssize_t n = readlinkat(server->proc_fd, number, out, PATH_MAX);
	if (n < 0 || n >= PATH_MAX)
		return -1;
	out[n] = '\0';
	return 0;
}

static int list_shares(struct saving *s, struct snapshot_writer *writer, struct err *err)
{
	char name[PATH_MAX];
	struct saved_share *saved;

	for (unsigned slot = 0; s->share_count < FS_SHARES_MAX; slot++) {
		struct fs_share *share = fs_shares_at(&s->server->shares, &slot);

		if (!share)
			break;
		s->shares[s->share_count] = share;
		s->prefixes[s->share_count++] = name_of(s->server, share->fd, name) ? NULL : strdup(name);
	}
	saved = snapshot_add(writer, SNAPSHOT_FS_SHARES, 0, s->share_count * sizeof *saved);
	for (unsigned i = 0; saved && i < s->share_count; i++) {
		memcpy(saved[i].name, s->shares[i]->name, sizeof saved[i].name);
		saved[i].type = s->shares[i]->type;
		saved[i].plain_open = s->shares[i]->plain_open;
	}
	return saved || !s->share_count ? 0 : err_set(err, ENOMEM, "out of memory");
}

/* The path below the share's root, if the kernel still has one; whether it leads there is seen by going there. */
static const char *path_below(const struct saving *s, const struct fs_node *node, unsigned share, char name[PATH_MAX])
{
	const char *prefix = s->prefixes[share];
	size_t length = prefix ? strlen(prefix) : 0;

	if (!prefix || name_of(s->server, node->fd, name) || strncmp(name, prefix, length) != 0)
		return NULL;
	if (length && prefix[length - 1] == '/')
		return name + length;
	return name[length] == '/' ? name + length + 1 : name[length] ? NULL : name + length;
}

static bool leads_to(const struct fs_share *share, const char *path, const struct stat *st)
{
	auto_fd int fd = open_below(share, path);
	struct stat found;

	return fd >= 0 && !fd_stat(fd, &found) && found.st_dev == st->st_dev && found.st_ino == st->st_ino;
}

static int add_text(struct saving *s, const char *path, struct saved_node *out, struct err *err)
{
	size_t length = strlen(path);

	if (s->text_length + length > TEXT_MAX_BYTES)
		return err_set(err, E2BIG, "the guest knows too many files");
	if (s->text_length + length > s->text_room) {
		size_t room = s->text_room * 2 + length + 4096;
		char *grown = realloc(s->text, room);

		if (!grown)
			return err_set(err, ENOMEM, "out of memory");
		s->text = grown;
		s->text_room = room;
	}
	if (length)
		memcpy(s->text + s->text_length, path, length);
	out->path = (uint32_t)s->text_length;
	out->path_length = (uint32_t)length;
	s->text_length += length;
	return 0;
}

static int carry(struct saving *s, const struct fs_node *node, struct saved_node *out, struct err *err)
{
	struct fs_content content = { .size = out->size };
	auto_fd int file = fs_open_node(s->server, node, O_RDONLY);

	if (file < 0 || fs_content_save(file, s->fd, *s->end, &content))
		return err_set_errno(err, "cannot copy a file that has no name any more");
	out->flags |= FLAG_CARRIED;
	out->content = *s->end;
	out->content_sum = content.sum;
	*s->end += (out->size + GUEST_PAGE - 1) / GUEST_PAGE * GUEST_PAGE;
	return 0;
}

static int save_node(struct saving *s, const struct fs_node *node, struct saved_node *out, struct err *err)
{
	char name[PATH_MAX];
	const char *path = NULL;
	struct stat st;
	unsigned share = 0;

	*out = (struct saved_node){ .id = node->id, .lookups = node->lookups, .mode = node->type };
	if (node->submount)
		out->flags |= FLAG_SUBMOUNT;
	while (share < s->share_count && s->shares[share] != node->share)
		share++;
	/* Of a share that was removed, or stale already. */
	if (share == s->share_count || node->fd < 0 || fd_stat(node->fd, &st)) {
		out->flags |= FLAG_GONE;
		return 0;
	}
	out->share = share;
	out->mode = st.st_mode;
	out->uid = st.st_uid;
	out->gid = st.st_gid;
	if (S_ISREG(st.st_mode)) {
		out->size = (uint64_t)st.st_size;
		out->mtime_ns = mtime_of(&st);
	}
	path = path_below(s, node, share, name);
	if (path && leads_to(s->shares[share], path, &st)) {
		out->flags |= *path ? 0 : FLAG_ROOT;
		return add_text(s, path, out, err);
	}
	if (S_ISREG(st.st_mode))
		return carry(s, node, out, err);
	out->flags |= FLAG_GONE;
	return 0;
}

static uint32_t next_generation(const struct fs_ids *ids)
{
	uint32_t highest = 0;

	for (uint32_t i = 1; i < ids->top; i++)
		highest = ids->slots[i].generation > highest ? ids->slots[i].generation : highest;
	return highest + 1;
}

static int save_nodes(struct saving *s, struct snapshot_writer *writer, struct err *err)
{
	struct fs_nodes *nodes = &s->server->nodes;
	size_t count = 0, room = fs_nodes_count(nodes);
	uint32_t index = 0;
	void *payload;

	if (room > NODES_MAX)
		return err_set(err, E2BIG, "the guest knows too many files");
	auto_free struct saved_node *list = calloc(room + 1, sizeof *list);
	if (!list)
		return err_set(err, ENOMEM, "out of memory");
	for (struct fs_node *node; count < room && (node = fs_ids_next(&nodes->ids, &index));)
		if (node != nodes->root && save_node(s, node, &list[count++], err))
			return -1;
	payload = snapshot_add(writer, SNAPSHOT_FS_NODES, 0, count * sizeof *list);
	if (payload)
		memcpy(payload, list, count * sizeof *list);
	payload = payload ? snapshot_add(writer, SNAPSHOT_FS_TEXT, 0, s->text_length) : NULL;
	if (payload && s->text_length)
		memcpy(payload, s->text, s->text_length);
	return payload ? 0 : err_set(err, ENOMEM, "there is no room for the files that the guest knows");
}

static int save_handles(struct fs_server *server, struct snapshot_writer *writer, struct err *err)
{
	struct fs_handles *handles = &server->handles;
	struct saved_handle *list =
		snapshot_add(writer, SNAPSHOT_FS_HANDLES, 0, fs_handles_count(handles) * sizeof *list);
	uint32_t index = 0;

	if (!list)
		return err_set(err, ENOMEM, "there is no room for the files that the guest has open");
	for (struct fs_handle *handle; (handle = fs_ids_next(&handles->ids, &index)); list++) {
		int flags = handle->fd < 0 ? 0 : fcntl(handle->fd, F_GETFL);

		*list = (struct saved_handle){ .id = handle->id,
					       .node = handle->node->id,
					       .kind = handle->kind,
					       .flags = (uint32_t)flags & (O_ACCMODE | O_SYNC | O_DSYNC | O_NOATIME) };
	}
	return 0;
}

static int save_window(const struct fs_window *window, struct snapshot_writer *writer, struct err *err)
{
	auto_free struct saved_piece *list = calloc(window->count, sizeof *list);
	size_t count = 0;
	void *payload;

	if (!list)
		return err_set(err, ENOMEM, "out of memory");
	for (unsigned i = 0; i < window->count; i++) {
		const struct fs_window_piece *piece = &window->pieces[i];

		/* Of a file that the guest has forgotten it can make no use. */
		if (piece->node && piece->node->id)
			list[count++] =
				(struct saved_piece){ .node = piece->node->id, .offset = piece->offset, .index = i };
	}
	payload = snapshot_add(writer, SNAPSHOT_FS_WINDOW, 0, count * sizeof *list);
	if (payload && count)
		memcpy(payload, list, count * sizeof *list);
	return payload ? 0 : err_set(err, ENOMEM, "there is no room for the files that the guest has mapped");
}

int fs_tables_save(struct fs_server *server, struct snapshot_writer *writer, int fd, uint64_t *end, struct err *err)
{
	struct saving *s = calloc(1, sizeof *s);
	struct saved_tables *tables = snapshot_add(writer, SNAPSHOT_FS_TABLES, 0, sizeof *tables);
	int result = -1;

	if (!s || !tables) {
		free(s);
		return err_set(err, ENOMEM, "out of memory");
	}
	*s = (struct saving){ .server = server, .fd = fd, .end = end };
	*tables = (struct saved_tables){ .node_generation = next_generation(&server->nodes.ids),
					 .handle_generation = next_generation(&server->handles.ids),
					 .openless = atomic_load(&server->openless) };
	if (!list_shares(s, writer, err) && !save_nodes(s, writer, err) && !save_handles(server, writer, err))
		result = server->window ? save_window(server->window, writer, err) : 0;
	for (unsigned i = 0; i < s->share_count; i++) {
		fs_share_put(s->shares[i]);
		free(s->prefixes[i]);
	}
	free(s->text);
	free(s);
	return result;
}

/* --- restoring --------------------------------------------------------------------------------------------- */

struct restoring {
	struct fs_server *server;
	const struct saved_share *shares;
	const struct saved_node *nodes;
	const struct saved_handle *handles;
	const struct saved_piece *pieces; /* NULL: there is no window */
	const char *text;
	size_t share_count, node_count, handle_count, piece_count, text_length;
	struct fs_share **found; /* share_count; each with a reference */
	int fd;
	bool changes_accepted;
};

static int odd(const char *what, struct err *err)
{
	return err_set(err, EBADMSG, "virtio-fs: the saved %s makes no sense", what);
}

static int find_sections(struct restoring *r, const struct snapshot *snapshot, struct err *err)
{
	r->shares = snapshot_find_array(snapshot, SNAPSHOT_FS_SHARES, 0, sizeof *r->shares, FS_SHARES_MAX,
					&r->share_count, err);
	r->nodes = r->shares ? snapshot_find_array(snapshot, SNAPSHOT_FS_NODES, 0, sizeof *r->nodes, NODES_MAX,
						   &r->node_count, err)
			     : NULL;
	r->text = r->nodes ? snapshot_find_array(snapshot, SNAPSHOT_FS_TEXT, 0, 1, TEXT_MAX_BYTES, &r->text_length, err)
			   : NULL;
	r->handles = r->text ? snapshot_find_array(snapshot, SNAPSHOT_FS_HANDLES, 0, sizeof *r->handles, NODES_MAX,
						   &r->handle_count, err)
			     : NULL;
	if (r->handles && r->server->window)
		r->pieces = snapshot_find_array(snapshot, SNAPSHOT_FS_WINDOW, 0, sizeof *r->pieces,
						r->server->window->count, &r->piece_count, err);
	return r->handles && (r->pieces || !r->server->window) ? 0 : -1;
}

static int find_shares(struct restoring *r, struct err *err)
{
	char name[VMM_NAME_MAX];

	r->found = calloc(r->share_count + 1, sizeof *r->found);
	if (!r->found)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < r->share_count; i++) {
		memcpy(name, r->shares[i].name, sizeof name);
		if (name[sizeof name - 1])
			return odd("list of shares", err);
		r->found[i] = fs_shares_find(&r->server->shares, name);
		if (!r->found[i] || r->found[i]->type != r->shares[i].type)
			return err_set(err, ENOENT,
				       "the checkpoint has share %s, which is missing here or of another kind: the "
				       "bundle's mounts have to be the same",
				       name);
	}
	return 0;
}

/* The text of an error, with the file's name, which is the guest's: for a log that escapes it. */
static int changed(const struct restoring *r, const struct saved_node *node, const char *path, const char *how,
		   struct err *err)
{
	return err_set(err, ESTALE, "file %.200s in share %s %s since the checkpoint", *path ? path : ".",
		       r->shares[node->share].name, how);
}

/* Sets *fd: -1 for one that is to answer ESTALE. */
static int find_again(struct restoring *r, const struct saved_node *node, const char *path, int *fd, struct err *err)
{
	struct fs_share *share = r->found[node->share];
	auto_fd int found = open_below(share, path);
	const char *how = NULL;
	struct stat st;

	if (found < 0 || fd_stat(found, &st))
		how = "is missing or cannot be reached";
	else if ((st.st_mode & S_IFMT) != (node->mode & S_IFMT))
		how = "has become something else";
	if (how && r->changes_accepted)
		return 0;
	if (!how && S_ISREG(st.st_mode) && !(node->flags & FLAG_ROOT) && !r->changes_accepted &&
	    ((uint64_t)st.st_size != node->size || (node->size > 0 && !has_time(&st, node->mtime_ns))))
		how = "has been changed";
	if (how)
		return changed(r, node, path, how, err);
	*fd = take_fd(&found);
	return 0;
}

static int make_again(struct restoring *r, const struct saved_node *node, int *fd, struct err *err)
{
	const struct fs_content content = { .size = node->size,
					    .sum = node->content_sum,
					    .mode = node->mode,
					    .uid = node->uid,
					    .gid = node->gid,
					    .mtime_ns = node->mtime_ns };
	struct fs_share *share = r->found[node->share];
	char number[16];

	if (node->content % GUEST_PAGE || node->content > INT64_MAX - node->size || !S_ISREG(node->mode))
		return odd("content of a file", err);
	auto_fd int file = fs_content_restore(share, r->fd, node->content, &content, err);
	if (file < 0)
		return -1;
	snprintf(number, sizeof number, "%d", file);
	*fd = openat(r->server->proc_fd, number, O_PATH | O_CLOEXEC);
	return *fd < 0 ? err_set_errno(err, "cannot open a file that has no name") : 0;
}

static int check_node(const struct restoring *r, const struct saved_node *node, struct err *err)
{
	static const mode_t types[] = { S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK };
	bool known = false;

	for (unsigned i = 0; i < sizeof types / sizeof *types; i++)
		known = known || (node->mode & S_IFMT) == types[i];
	if (!known || node->flags & ~(unsigned)FLAGS || !node->lookups || node->reserved || node->size > INT64_MAX ||
	    node->path > r->text_length || node->path_length > r->text_length - node->path ||
	    node->path_length >= PATH_MAX || (!(node->flags & FLAG_GONE) && node->share >= r->share_count))
		return odd("table of files", err);
	return 0;
}

static int restore_node(struct restoring *r, const struct saved_node *node, struct err *err)
{
	struct fs_found found = { .fd = -1, .type = node->mode & S_IFMT, .submount = node->flags & FLAG_SUBMOUNT };
	char path[PATH_MAX];
	struct stat st;

	if (check_node(r, node, err))
		return -1;
	memcpy(path, r->text + node->path, node->path_length);
	path[node->path_length] = '\0';
	if (strlen(path) != node->path_length || (node->flags & FLAG_ROOT && *path))
		return odd("name of a file", err);
	if (!(node->flags & FLAG_GONE)) {
		if (node->flags & FLAG_CARRIED ? make_again(r, node, &found.fd, err)
					       : find_again(r, node, path, &found.fd, err))
			return -1;
		found.share = r->found[node->share];
	} else {
		/* Any share will do: it is asked for nothing but whether it may be written to. */
		found.share = r->share_count ? r->found[0] : NULL;
	}
	if (!found.share)
		return odd("table of files", err);
	/* A key that nothing has, for what is not there. */
	found.key = (struct fs_key){ .mount = UINT64_MAX, .device = node->id, .inode = node->id };
	if (found.fd >= 0) {
		if (fd_stat(found.fd, &st) || fs_attr_mount(found.fd, &found.key.mount)) {
			close_fd(&found.fd);
			return err_set_errno(err, "cannot look at a file of the checkpoint");
		}
		found.key.device = st.st_dev;
		found.key.inode = st.st_ino;
		found.salt = fs_devices_salt(&r->server->devices, st.st_dev);
	}
	return fs_nodes_restore(&r->server->nodes, node->id, node->lookups, &found)
		       ? err_set(err, errno, "virtio-fs: the saved table of files has a wrong number, or is too large")
		       : 0;
}

static int restore_handle(struct restoring *r, const struct saved_handle *handle, struct err *err)
{
	struct fs_server *server = r->server;
	struct fs_node *node = fs_nodes_get(&server->nodes, handle->node);
	int fd = -1, result = -1;

	if (!node || (handle->kind != FS_HANDLE_FILE && handle->kind != FS_HANDLE_DIRECTORY) ||
	    handle->flags & ~(unsigned)(O_ACCMODE | O_SYNC | O_DSYNC | O_NOATIME) ||
	    S_ISDIR(node->type) != (handle->kind == FS_HANDLE_DIRECTORY)) {
		odd("table of open files", err);
		goto out;
	}
	/* One of the synthetic root, or of a stale node, has no file. */
	if (node->fd >= 0) {
		fd = fs_open_node(server, node, (int)handle->flags);
		if (fd < 0 && !r->changes_accepted) {
			err_set_errno(err, "cannot open a file that the checkpoint has open");
			goto out;
		}
	}
	if (fs_handles_restore(&server->handles, handle->id, node, fd, (enum fs_handle_kind)handle->kind))
		odd("table of open files", err);
	else
		result = 0;
out:
	fs_nodes_put(&server->nodes, node);
	return result;
}

static int restore_piece(struct restoring *r, const struct saved_piece *piece, struct err *err)
{
	struct fs_server *server = r->server;
	struct fs_node *node = fs_nodes_get(&server->nodes, piece->node);
	int error, result = -1;

	if (!node || fs_node_is_root(node) || piece->index >= server->window->count || piece->reserved ||
	    piece->offset % FS_WINDOW_PIECE || piece->offset > INT64_MAX - FS_WINDOW_PIECE) {
		odd("window for files", err);
		goto out;
	}
	error = node->fd < 0 ? 0 : fs_map_again(server, node, piece->index, piece->offset);
	if (error)
		err_set(err, error,
			"share %s has files that the checkpoint has mapped: %s (it has to be read-only, and on a file "
			"system as in docs/files.md)",
			node->share ? node->share->name : "?", strerror(error));
	else
		result = 0;
out:
	fs_nodes_put(&server->nodes, node);
	return result;
}

static int restore_all(struct restoring *r, const struct saved_tables *tables, struct err *err)
{
	for (size_t i = 0; i < r->node_count; i++)
		if (restore_node(r, &r->nodes[i], err))
			return -1;
	for (size_t i = 0; i < r->handle_count; i++)
		if (restore_handle(r, &r->handles[i], err))
			return -1;
	for (size_t i = 0; i < r->piece_count; i++)
		if (restore_piece(r, &r->pieces[i], err))
			return -1;
	fs_ids_settle(&r->server->nodes.ids, tables->node_generation);
	fs_ids_settle(&r->server->handles.ids, tables->handle_generation);
	return 0;
}

/* Files without open and close take file systems to which that is the same: fs_file.c. */
static int check_openless(struct restoring *r, const struct saved_tables *tables, struct err *err)
{
	for (size_t i = 0; tables->openless && i < r->share_count; i++)
		if (r->shares[i].plain_open && !r->found[i]->plain_open)
			return err_set(err, ENOTSUP,
				       "share %s lies on a file system of another kind than when the checkpoint was "
				       "made (see docs/checkpoint.md)",
				       r->found[i]->name);
	return 0;
}

int fs_tables_restore(struct fs_server *server, const struct snapshot *snapshot, int fd, bool changes_accepted,
		      struct err *err)
{
	struct restoring r = { .server = server, .fd = fd, .changes_accepted = changes_accepted };
	const struct saved_tables *tables = snapshot_find(snapshot, SNAPSHOT_FS_TABLES, 0, sizeof *tables, err);
	int result = -1;

	if (!tables || find_sections(&r, snapshot, err))
		return -1;
	if (!find_shares(&r, err) && !check_openless(&r, tables, err))
		result = restore_all(&r, tables, err);
	for (size_t i = 0; r.found && i < r.share_count; i++)
		fs_share_put(r.found[i]);
	free(r.found);
	return result;
}
