/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/fs_server.h"

#include "common/auto.h"
#include "common/err.h"
#include "vmm/fs_request.h"
#include "vmm/virtqueue.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

/*
 * One second, as long as a person needs to change from one window to another: what the host does to a share is seen
 * in the guest by then. docs/files.md.
 */
const struct fs_caching fs_caching_auto = {
	.name_ns = 1000000000,
	.absence_ns = 1000000000,
	.attr_ns = 1000000000,
	.keep_data = true,
};

static const struct fs_caching caching_none;

/* A day stands for good: the guest's kernel counts in ticks of 32 bits. */
static const struct fs_caching caching_always = {
	.name_ns = 86400000000000,
	.absence_ns = 86400000000000,
	.attr_ns = 86400000000000,
	.keep_data = true,
	.write_back = true,
};

const struct fs_caching *fs_caching_find(const char *name)
{
	if (!strcmp(name, "none"))
		return &caching_none;
	if (!strcmp(name, "auto"))
		return &fs_caching_auto;
	return strcmp(name, "always") ? NULL : &caching_always;
}

/* --- what there is, and how long it may be -------------------------------------------------------------------------
 */

/* A name and its final 0. The guest's driver leaves it to us to say that one is too long. */
enum { NAME = 1024 + 1 };

#define S(type) sizeof(struct type)
#define ENTRY S(fuse_entry_out)
#define ATTR S(fuse_attr_out)
#define OPENED S(fuse_open_out)
#define IN_DIR (FS_OP_CHANGES | FS_OP_DIRECTORY)
#define OF_DIR (FS_OP_DIRECTORY | FS_OP_ON_ROOT)
#define FORGETS (FS_OP_NO_NODE | FS_OP_NO_REPLY | FS_OP_UNAWAITED)

/* An operation, by its arguments (least, most), the least room for its reply, and its flags. */
#define OP(opcode, call, least, most, reply, bits) \
	[opcode] = { .name = #call,                \
		     .handle = fs_do_##call,       \
		     .args_min = least,            \
		     .args_max = most,             \
		     .reply_min = reply,           \
		     .flags = bits }
/* One that is answered with ENOSYS, like all that have no entry; the guest's driver remembers and asks no more. */
#define NOT(opcode, call, bits) [opcode] = { .name = call, .flags = bits }

/* clang-format off */
static const struct fs_op ops[] = {
	OP(FUSE_INIT, init, S(fuse_init_in), S(fuse_init_in), S(fuse_init_out), FS_OP_NO_NODE | FS_OP_BEFORE_INIT),
	OP(FUSE_DESTROY, destroy, 0, 0, 0, FS_OP_NO_NODE),

	OP(FUSE_LOOKUP, lookup, 1, NAME, ENTRY, OF_DIR),
	OP(FUSE_FORGET, forget, S(fuse_forget_in), S(fuse_forget_in), 0, FORGETS),
	OP(FUSE_BATCH_FORGET, batch_forget, S(fuse_batch_forget_in), FS_ARGS_MAX, 0, FORGETS),

	OP(FUSE_SYMLINK, symlink, 2, NAME + FS_LINK_MAX + 1, ENTRY, IN_DIR),
	OP(FUSE_MKNOD, mknod, S(fuse_mknod_in) + 1, S(fuse_mknod_in) + NAME, ENTRY, IN_DIR),
	OP(FUSE_MKDIR, mkdir, S(fuse_mkdir_in) + 1, S(fuse_mkdir_in) + NAME, ENTRY, IN_DIR),
	OP(FUSE_LINK, link, S(fuse_link_in) + 1, S(fuse_link_in) + NAME, ENTRY, IN_DIR),
	OP(FUSE_UNLINK, unlink, 1, NAME, 0, IN_DIR),
	OP(FUSE_RMDIR, rmdir, 1, NAME, 0, IN_DIR),
	OP(FUSE_RENAME, rename, S(fuse_rename_in) + 2, S(fuse_rename_in) + 2 * NAME, 0, IN_DIR),
	OP(FUSE_RENAME2, rename2, S(fuse_rename2_in) + 2, S(fuse_rename2_in) + 2 * NAME, 0, IN_DIR),

	OP(FUSE_GETATTR, getattr, S(fuse_getattr_in), S(fuse_getattr_in), ATTR, FS_OP_ON_ROOT),
	OP(FS_FUSE_STATX, statx, S(fs_statx_in), S(fs_statx_in), S(fs_statx_out), FS_OP_ON_ROOT),
	OP(FUSE_SETATTR, setattr, S(fuse_setattr_in), S(fuse_setattr_in), ATTR, FS_OP_CHANGES),
	OP(FUSE_READLINK, readlink, 0, 0, 0, 0),
	OP(FUSE_STATFS, statfs, 0, 0, S(fuse_statfs_out), FS_OP_ON_ROOT),

	OP(FUSE_OPEN, open, S(fuse_open_in), S(fuse_open_in), OPENED, 0),
	OP(FUSE_CREATE, create, S(fuse_create_in) + 1, S(fuse_create_in) + NAME, ENTRY + OPENED, IN_DIR),
	OP(FUSE_TMPFILE, tmpfile, S(fuse_create_in) + 1, S(fuse_create_in) + NAME, ENTRY + OPENED, IN_DIR),
	OP(FUSE_FLUSH, flush, S(fuse_flush_in), S(fuse_flush_in), 0, 0),
	OP(FUSE_RELEASE, release, S(fuse_release_in), S(fuse_release_in), 0, 0),
	OP(FUSE_FSYNC, fsync, S(fuse_fsync_in), S(fuse_fsync_in), 0, 0),
	OP(FUSE_SYNCFS, syncfs, S(fuse_syncfs_in), S(fuse_syncfs_in), 0, FS_OP_ON_ROOT),

	OP(FUSE_READ, read, S(fuse_read_in), S(fuse_read_in), 0, 0),
	OP(FUSE_WRITE, write, S(fuse_write_in), S(fuse_write_in), S(fuse_write_out), FS_OP_HAS_DATA),
	OP(FUSE_LSEEK, lseek, S(fuse_lseek_in), S(fuse_lseek_in), S(fuse_lseek_out), 0),
	OP(FUSE_FALLOCATE, fallocate, S(fuse_fallocate_in), S(fuse_fallocate_in), 0, 0),
	OP(FUSE_COPY_FILE_RANGE, copy_file_range, S(fuse_copy_file_range_in), S(fuse_copy_file_range_in),
	   S(fuse_write_out), 0),

	OP(FUSE_OPENDIR, opendir, S(fuse_open_in), S(fuse_open_in), OPENED, OF_DIR),
	OP(FUSE_READDIR, readdir, S(fuse_read_in), S(fuse_read_in), 0, OF_DIR),
	OP(FUSE_READDIRPLUS, readdirplus, S(fuse_read_in), S(fuse_read_in), 0, OF_DIR),
	OP(FUSE_RELEASEDIR, releasedir, S(fuse_release_in), S(fuse_release_in), 0, OF_DIR),
	OP(FUSE_FSYNCDIR, fsyncdir, S(fuse_fsync_in), S(fuse_fsync_in), 0, OF_DIR),

	OP(FUSE_SETXATTR, setxattr, S(fuse_setxattr_in) + 2, S(fuse_setxattr_in) + FS_NAME_MAX + 1 + FS_XATTR_VALUE_MAX, 0,
	   FS_OP_CHANGES),
	OP(FUSE_GETXATTR, getxattr, S(fuse_getxattr_in) + 1, S(fuse_getxattr_in) + NAME, 0, FS_OP_ON_ROOT),
	OP(FUSE_LISTXATTR, listxattr, S(fuse_getxattr_in), S(fuse_getxattr_in), 0, FS_OP_ON_ROOT),
	OP(FUSE_REMOVEXATTR, removexattr, 1, NAME, 0, FS_OP_CHANGES),

	OP(FUSE_SETUPMAPPING, setupmapping, S(fuse_setupmapping_in), S(fuse_setupmapping_in), 0, 0),
	OP(FUSE_REMOVEMAPPING, removemapping, S(fuse_removemapping_in), FS_ARGS_MAX, 0, FS_OP_NO_NODE),

	/* Nothing here waits for another request, so there is nothing to interrupt. */
	NOT(FUSE_INTERRUPT, "interrupt", FORGETS),
	/* The guest's kernel checks permissions itself, by mode and ACL. */
	NOT(FUSE_ACCESS, "access", 0),
	/* Locks stay in the guest: fs_init.c. */
	NOT(FUSE_GETLK, "getlk", 0),
	NOT(FUSE_SETLK, "setlk", 0),
	NOT(FUSE_SETLKW, "setlkw", 0),
	/* For block devices; makes no difference to a file; answers what we never ask. */
	NOT(FUSE_BMAP, "bmap", 0),
	NOT(FUSE_POLL, "poll", 0),
	NOT(FUSE_NOTIFY_REPLY, "notify_reply", 0),
	/* ENOTTY, in find_op, which programs take for "not that kind of file". */
	NOT(FUSE_IOCTL, "ioctl", 0),
};
/* clang-format on */

enum { OP_COUNT = sizeof ops / sizeof *ops };

/* --- from a request to its reply ------------------------------------------------------------------------------------
 */

/* What was wrong with the form of a request; NULL for the many that fail as system calls do. */
struct verdict {
	int error;
	const char *complaint;
};

static struct verdict find_op(struct fs_request *request)
{
	uint32_t opcode = request->header.opcode;

	if (opcode == FUSE_IOCTL)
		return (struct verdict){ ENOTTY, NULL };
	if (opcode >= OP_COUNT || !ops[opcode].handle)
		return (struct verdict){ ENOSYS, NULL };
	/* The guest's driver remembers this for as long as the file system is mounted. */
	if ((opcode == FUSE_OPEN || opcode == FUSE_FLUSH) && request->server->openless)
		return (struct verdict){ ENOSYS, NULL };
	if ((opcode == FUSE_SETUPMAPPING || opcode == FUSE_REMOVEMAPPING) && !request->server->maps)
		return (struct verdict){ ENOSYS, NULL };
	request->op = &ops[opcode];
	return (struct verdict){ 0, NULL };
}

/* Lengths, before anything else is looked at. */
static struct verdict check_form(struct fs_request *request)
{
	const struct fs_op *op = request->op;
	size_t length = request->in.length - sizeof request->header;

	if (!atomic_load_explicit(&request->server->minor, memory_order_relaxed) && !(op->flags & FS_OP_BEFORE_INIT))
		return (struct verdict){ EIO, "comes before INIT" };
	if (request->header.total_extlen)
		return (struct verdict){ EINVAL, "carries extensions, which were not agreed on" };
	if (length < op->args_min || length > op->args_max + (op->flags & FS_OP_HAS_DATA ? FS_WRITE_MAX : 0u))
		return (struct verdict){ EINVAL, "has the wrong length" };
	if (!(op->flags & FS_OP_NO_REPLY) && request->out.length - sizeof(struct fuse_out_header) < op->reply_min)
		return (struct verdict){ EINVAL, "has no room for its reply" };
	return (struct verdict){ 0, NULL };
}

/* Copies the arguments out of guest memory: from here on they do not change. */
static void take_args(struct fs_request *request)
{
	size_t length = request->in.length - sizeof request->header;

	if (length > request->op->args_max)
		length = request->op->args_max;
	request->args_length =
		iovec_read(request->in.iov, request->in.count, sizeof request->header, request->worker->args, length);
	request->worker->args[request->args_length] = 0;
	request->args = request->worker->args;
}

static struct verdict find_node(struct fs_request *request)
{
	unsigned flags = request->op->flags;

	if (flags & FS_OP_NO_NODE)
		return (struct verdict){ 0, NULL };
	request->node = fs_nodes_get(&request->server->nodes, request->header.nodeid);
	if (!request->node)
		return (struct verdict){ ESTALE, "names a node that does not exist" };
	if (request->node->fd < 0 && !fs_node_is_root(request->node))
		return (struct verdict){ ESTALE, NULL };
	if (flags & FS_OP_DIRECTORY && !S_ISDIR(request->node->type))
		return (struct verdict){ ENOTDIR, NULL };
	if (fs_node_is_root(request->node)) {
		if (flags & FS_OP_ON_ROOT)
			return (struct verdict){ 0, NULL };
		return (struct verdict){ flags & FS_OP_CHANGES ? EROFS : EISDIR, NULL };
	}
	if (flags & FS_OP_CHANGES && request->node->share->read_only)
		return (struct verdict){ EROFS, NULL };
	return (struct verdict){ 0, NULL };
}

static struct verdict serve(struct fs_request *request)
{
	struct verdict verdict = find_op(request);

	if (!verdict.error)
		verdict = check_form(request);
	if (verdict.error)
		return verdict;
	take_args(request);
	verdict = find_node(request);
	if (!verdict.error)
		verdict.error = request->op->handle(request);
	/* From one file system of the host; to the guest's driver it would mean: never, on none. */
	if (verdict.error == ENOSYS)
		verdict.error = EOPNOTSUPP;
	fs_nodes_put(&request->server->nodes, request->node);
	return verdict;
}

static const char *op_name(uint32_t opcode)
{
	return opcode < OP_COUNT && ops[opcode].name ? ops[opcode].name : "request";
}

static void complain(struct fs_request *request, const char *complaint)
{
	uint32_t opcode = request->header.opcode;

	atomic_fetch_add_explicit(request->server->refused, 1, memory_order_relaxed);
	if (log_limit_allows(&request->worker->complaints, 5))
		log_warn("virtio-fs: the guest's %s (operation %u) %s", op_name(opcode), opcode, complaint);
}

static bool has_no_reply(uint32_t opcode)
{
	return opcode < OP_COUNT && ops[opcode].flags & FS_OP_NO_REPLY;
}

static uint32_t write_header(struct fs_request *request, int error)
{
	struct fuse_out_header header = { .len = (uint32_t)sizeof header,
					  .error = -error,
					  .unique = request->header.unique };

	if (!error)
		header.len += (uint32_t)request->reply_length;
	iovec_write(request->out.iov, request->out.count, 0, &header, sizeof header);
	return header.len;
}

uint32_t fs_worker_handle(struct fs_worker *worker, struct fs_segments in, struct fs_segments out)
{
	struct fs_request request = { .server = worker->server, .worker = worker, .in = in, .out = out };
	struct verdict verdict;

	worker->is_awaited = true;
	if (iovec_read(in.iov, in.count, 0, &request.header, sizeof request.header) != sizeof request.header) {
		complain(&request, "is too short for a header");
		return 0;
	}

	bool wants_reply = !has_no_reply(request.header.opcode);

	if (wants_reply && out.length < sizeof(struct fuse_out_header)) {
		complain(&request, "has no room for a reply");
		return 0;
	}
	if (request.header.len != in.length)
		verdict = (struct verdict){ EINVAL, "gives a length that is not its own" };
	else
		verdict = serve(&request);
	if (verdict.complaint)
		complain(&request, verdict.complaint);
	assert(verdict.error >= 0);
	if (log_is_enabled(LOG_DEBUG))
		log_debug("virtio-fs: %s %llu: %s", op_name(request.header.opcode),
			  (unsigned long long)request.header.nodeid, verdict.error ? strerror(verdict.error) : "ok");
	/* The guest may have been told that a file has grown: it is to find its pages. */
	if (worker->server->maps && atomic_load(&worker->server->window->is_torn))
		fs_window_renew(worker->server->window, worker->server);
	worker->is_awaited = !(request.op && request.op->flags & FS_OP_UNAWAITED);
	return wants_reply ? write_header(&request, verdict.error) : 0;
}

/* --- the server and its threads ------------------------------------------------------------------------------------
 */

struct fs_limits fs_limits_take(void)
{
	struct rlimit limit;
	rlim_t files = 1024;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		if (limit.rlim_cur < limit.rlim_max) {
			limit.rlim_cur = limit.rlim_max;
			setrlimit(RLIMIT_NOFILE, &limit);
			getrlimit(RLIMIT_NOFILE, &limit);
		}
		files = limit.rlim_cur;
	}
	if (files > 1u << 20)
		files = 1u << 20;

	/* The monitor has descriptors of its own: vCPUs, devices, vsock connections, shares. */
	rlim_t reserve = files / 4 < 2048 ? files / 4 : 2048;
	uint32_t ours = (uint32_t)(files - reserve);

	return (struct fs_limits){ .nodes = ours - ours / 4, .handles = ours / 4 };
}

struct fs_server *fs_server_create(struct fs_limits limits, int proc_fd, struct err *err)
{
	struct fs_server *server = calloc(1, sizeof *server);

	if (!server) {
		err_set(err, ENOMEM, "virtio-fs: out of memory");
		close_fd(&proc_fd);
		return NULL;
	}
	server->caching = fs_caching_auto;
	server->refused = &server->refused_here;
	fs_shares_init(&server->shares);
	fs_devices_init(&server->devices);
	int result = fs_nodes_init(&server->nodes, limits.nodes);
	fs_handles_init(&server->handles, &server->nodes, limits.handles);
	server->proc_fd = proc_fd >= 0 ? proc_fd : open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (result)
		err_set_errno(err, "virtio-fs: cannot make the table of nodes");
	else if (server->proc_fd < 0)
		err_set_errno(err, "virtio-fs: cannot open /proc/self/fd; is /proc mounted?");
	else
		return server;
	fs_server_destroy(server);
	return NULL;
}

void fs_server_destroy(struct fs_server *server)
{
	if (!server)
		return;
	if (server->window)
		fs_window_unmap_all(server->window);
	fs_handles_fini(&server->handles);
	fs_nodes_fini(&server->nodes);
	fs_shares_fini(&server->shares);
	fs_devices_fini(&server->devices);
	close_fd(&server->proc_fd);
	free(server);
}

void fs_server_reset(struct fs_server *server)
{
	atomic_store(&server->minor, 0);
	server->openless = false;
	server->write_back = false;
	server->maps = false;
	if (server->window)
		fs_window_unmap_all(server->window);
	fs_handles_release_all(&server->handles);
	fs_nodes_forget_all(&server->nodes);
}

void fs_server_set_window(struct fs_server *server, struct fs_window *window)
{
	server->window = window;
	window->nodes = &server->nodes;
}

int fs_worker_init(struct fs_worker *worker, struct fs_server *server, struct err *err)
{
	*worker = (struct fs_worker){ .server = server };
	/* One piece: pages that are never used cost nothing. The arguments come last, for their odd byte. */
	worker->scratch = malloc(2 * FS_REPLY_MAX + FS_ENTRIES_MAX + FS_ARGS_MAX + 1);
	if (!worker->scratch)
		return err_set(err, ENOMEM, "virtio-fs: out of memory for a file thread");
	worker->listing = worker->scratch + FS_REPLY_MAX;
	worker->ahead.data = worker->listing + FS_REPLY_MAX;
	worker->args = worker->ahead.data + FS_ENTRIES_MAX;
	return fs_creds_init(&worker->creds, server->proc_fd, err);
}

void fs_worker_fini(struct fs_worker *worker)
{
	free(worker->scratch);
	*worker = (struct fs_worker){ 0 };
}
