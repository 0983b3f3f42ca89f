/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_map.c - SETUPMAPPING and REMOVEMAPPING: files into the DAX window, and out of it.
 *
 * Only files of read-only shares, and of file systems whose files stay where they are when they are written (overlayfs
 * copies one away from under its mapping). Writing through a mapping is not what write(2) is: a full disk would be a
 * bus error, and neither times nor set-id bits would change.
 *
 * The guest's driver maps pieces of FS_WINDOW_PIECE at multiples of it; it is told that nothing else will do.
 */
#include "vmm/fs_request.h"
#include "vmm/fs_window.h"

#include "common/auto.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static bool may_be_mapped(const struct fs_share *share, const struct fs_key *key, mode_t mode)
{
	/* What is known of the share's file system says nothing of another one mounted within. */
	return S_ISREG(mode) && share->read_only && share->plain_open && key->mount == share->mount &&
	       key->device == share->device;
}

bool fs_pays_to_map(const struct fs_server *server, const struct fs_share *share, const struct fs_key *key,
		    const struct stat *st)
{
	return atomic_load_explicit(&server->maps, memory_order_relaxed) && st->st_size >= FS_MAP_MIN &&
	       may_be_mapped(share, key, st->st_mode);
}

/* Which piece lies at `offset` of the window, if that and `length` are one's. */
static int find_piece(const struct fs_window *window, uint64_t offset, uint64_t length, unsigned *index)
{
	if (length != FS_WINDOW_PIECE || offset % FS_WINDOW_PIECE || offset >= window->size)
		return EINVAL;
	*index = (unsigned)(offset >> FS_WINDOW_PIECE_SHIFT);
	return 0;
}

int fs_do_setupmapping(struct fs_request *request)
{
	const struct fuse_setupmapping_in *in = fs_take(request, sizeof *in);
	struct fs_server *server = request->server;
	unsigned index;

	if (find_piece(server->window, in->moffset, in->len, &index) || in->foffset % FS_WINDOW_PIECE ||
	    in->foffset > INT64_MAX - FS_WINDOW_PIECE)
		return EINVAL;
	if (in->flags & ~(uint64_t)(FUSE_SETUPMAPPING_FLAG_WRITE | FUSE_SETUPMAPPING_FLAG_READ))
		return EINVAL;
	if (in->flags & FUSE_SETUPMAPPING_FLAG_WRITE)
		return EROFS;
	if (fs_node_is_root(request->node) ||
	    !may_be_mapped(request->node->share, &request->node->key, request->node->type))
		return EACCES;

	auto_fd int fd = fs_open_node(server, request->node, O_RDONLY);

	return fd < 0 ? errno : fs_window_map(server->window, index, request->node, fd, in->foffset);
}

/*
 * What was carried along with the snapshot has become a file of another mount, or of none: the share is what counts. It
 * has no name there, so nobody else writes to it.
 */
int fs_map_again(struct fs_server *server, struct fs_node *node, unsigned index, uint64_t offset)
{
	if (!S_ISREG(node->type) || !node->share->read_only || !node->share->plain_open)
		return EACCES;

	auto_fd int fd = fs_open_node(server, node, O_RDONLY);

	return fd < 0 ? errno : fs_window_map(server->window, index, node, fd, offset);
}

int fs_do_removemapping(struct fs_request *request)
{
	const struct fuse_removemapping_in *in = fs_take(request, sizeof *in);
	struct fuse_removemapping_one one;
	const void *next;
	struct fs_window *window = request->server->window;
	int error = 0;

	if (request->args_length - request->args_taken != (uint64_t)in->count * sizeof one)
		return EINVAL;
	/* The node in the header is one of the pieces' own, or the driver's way to be rid of them: pieces count. */
	while (!error && (next = fs_take(request, sizeof one))) {
		unsigned index;

		memcpy(&one, next, sizeof one); /* the count before it is of 4 bytes: it is not aligned */
		error = find_piece(window, one.moffset, one.len, &index);
		if (!error)
			fs_window_unmap(window, index);
	}
	return error;
}
