/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_request.h - a request on its way through the server, and what the handlers of operations share.
 *
 * Header and arguments are copies, taken out of guest memory once, of a length between the operation's bounds
 * (fs_server.c); the data of WRITE stays where it is. A handler returns 0 after fs_reply, or an errno value; the header
 * of the reply is written after it, exactly once.
 */
#ifndef BULKHEAD_FS_REQUEST_H
#define BULKHEAD_FS_REQUEST_H

#include "vmm/fs_abi.h"
#include "vmm/fs_server.h"

#include <sys/stat.h>

enum fs_op_flags {
	FS_OP_NO_REPLY = 1,   /* FORGET and its like: an answer would confuse the guest's driver */
	FS_OP_NO_NODE = 2,    /* the header's node id means nothing */
	FS_OP_CHANGES = 4,    /* refused on a read-only share */
	FS_OP_ON_ROOT = 8,    /* makes sense on the synthetic root directory */
	FS_OP_DIRECTORY = 16, /* only on directories */
	FS_OP_BEFORE_INIT = 32,
	FS_OP_HAS_DATA = 64,   /* up to FS_WRITE_MAX bytes behind the arguments, left in guest memory */
	FS_OP_UNAWAITED = 128, /* the program went on before it was answered */
};

struct fs_request;

struct fs_op {
	const char *name;
	int (*handle)(struct fs_request *request);
	uint32_t args_min, args_max; /* bytes behind the header, which are copied out */
	uint32_t reply_min;          /* the guest must have room for at least this behind the reply's header */
	unsigned flags;              /* enum fs_op_flags */
};

struct fs_request {
	struct fs_server *server;
	struct fs_worker *worker;
	const struct fs_op *op;
	struct fuse_in_header header;
	const uint8_t *args; /* followed by a 0 byte that belongs to nothing */
	size_t args_length;
	size_t args_taken;
	struct fs_segments in, out; /* whole, headers included */
	struct fs_node *node;       /* the header's, held; NULL with FS_OP_NO_NODE */
	size_t reply_length;        /* behind the reply's header, so far */
};

/* The next `size` bytes of the arguments, or NULL: there are not as many. */
const void *fs_take(struct fs_request *request, size_t size);

/* The next argument, a name with its final 0, checked as a single component. NULL with *error set. */
const char *fs_take_name(struct fs_request *request, int *error);

/* EINVAL, ENAMETOOLONG or 0. A component is 1 to 255 bytes, neither "." nor "..", without a slash. */
int fs_name_check(const char *name, size_t length);

/* The next argument, text of at most `max` bytes with its final 0, which must be all there is up to there. */
const char *fs_take_text(struct fs_request *request, size_t max, int *error);

bool fs_args_are_taken(const struct fs_request *request);

/* Adds to the reply. 0, or ERANGE if the guest has no room. */
int fs_reply(struct fs_request *request, const void *data, size_t length);
size_t fs_reply_room(const struct fs_request *request);

/* Opens the node's own file. Regular files and directories only: nothing else is ever opened. -1 with errno. */
int fs_open_node(struct fs_server *server, const struct fs_node *node, int flags);

/* The file that a request is about; see fs_file.c. */
struct fs_file {
	int fd;
	struct fs_handle *handle; /* NULL: opened for this request */
};

/*
 * The file of `node` behind handle `id`, or, with handle 0 where that is agreed on, opened with `flags` (of which
 * access mode, O_SYNC, O_DSYNC and O_NOATIME count). 0, then fs_file_put has to follow; or an errno value, then it may.
 */
int fs_file_get(struct fs_request *request, const struct fs_node *node, uint64_t id, uint32_t flags,
		struct fs_file *file);
void fs_file_put(struct fs_server *server, struct fs_file *file);

/* Whether the guest is to read this file by the DAX window (fs_map.c). */
bool fs_pays_to_map(const struct fs_server *server, const struct fs_share *share, const struct fs_key *key,
		    const struct stat *st);

/* Maps into piece `index` what a guest of an earlier life had there. 0, or an errno value: then it shows zeros. */
int fs_map_again(struct fs_server *server, struct fs_node *node, unsigned index, uint64_t offset);

/* Whether OPEN can be left out, as things are. */
bool fs_files_need_no_open(const struct fs_request *request);

/* The node's name in /proc/self/fd, which is a worker's working directory: for calls that know no descriptors. */
struct fs_proc_name {
	char text[12];
};
struct fs_proc_name fs_proc_name(const struct fs_node *node);

static inline bool fs_node_is_root(const struct fs_node *node)
{
	return !node->share;
}

/* The rest of the name's life is in these two (fs_name.c): looks `name` up beneath `parent` and fills `entry`. */
int fs_look_up_at(struct fs_request *request, const struct fs_node *parent, const char *name,
		  struct fuse_entry_out *entry);

/* Enters what has been made in directory `parent` and is behind `fd` (O_PATH, taken). `node` gets a reference. */
int fs_enter_made(struct fs_request *request, const struct fs_node *parent, int fd, struct fuse_entry_out *entry,
		  struct fs_node **node);

/* The next file made belongs to the request's ids, with `mode` less `mask`. 0 or an errno value (fs_name.c). */
int fs_prepare_creation(struct fs_request *request, mode_t mode, mode_t mask);

/* Handlers, each in the file that fs_server.h names. */
int fs_do_init(struct fs_request *request);
int fs_do_destroy(struct fs_request *request);
int fs_do_lookup(struct fs_request *request);
int fs_do_forget(struct fs_request *request);
int fs_do_batch_forget(struct fs_request *request);
int fs_do_symlink(struct fs_request *request);
int fs_do_mknod(struct fs_request *request);
int fs_do_mkdir(struct fs_request *request);
int fs_do_unlink(struct fs_request *request);
int fs_do_rmdir(struct fs_request *request);
int fs_do_rename(struct fs_request *request);
int fs_do_rename2(struct fs_request *request);
int fs_do_link(struct fs_request *request);
int fs_do_getattr(struct fs_request *request);
int fs_do_statx(struct fs_request *request);
int fs_do_setattr(struct fs_request *request);
int fs_do_readlink(struct fs_request *request);
int fs_do_statfs(struct fs_request *request);
int fs_do_open(struct fs_request *request);
int fs_do_create(struct fs_request *request);
int fs_do_tmpfile(struct fs_request *request);
int fs_do_flush(struct fs_request *request);
int fs_do_release(struct fs_request *request);
int fs_do_fsync(struct fs_request *request);
int fs_do_syncfs(struct fs_request *request);
int fs_do_read(struct fs_request *request);
int fs_do_write(struct fs_request *request);
int fs_do_setupmapping(struct fs_request *request);
int fs_do_removemapping(struct fs_request *request);
int fs_do_lseek(struct fs_request *request);
int fs_do_fallocate(struct fs_request *request);
int fs_do_copy_file_range(struct fs_request *request);
int fs_do_opendir(struct fs_request *request);
int fs_do_readdir(struct fs_request *request);
int fs_do_readdirplus(struct fs_request *request);
int fs_do_releasedir(struct fs_request *request);
int fs_do_fsyncdir(struct fs_request *request);
int fs_do_setxattr(struct fs_request *request);
int fs_do_getxattr(struct fs_request *request);
int fs_do_listxattr(struct fs_request *request);
int fs_do_removexattr(struct fs_request *request);

#endif
