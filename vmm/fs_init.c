/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_init.c - the beginning and the end of a session.
 *
 * What is asked of the guest's driver, and why. A feature the guest does not offer is not used; none is required.
 */
#include "vmm/fs_request.h"

#include <errno.h>
#include <string.h>

static const uint64_t wanted =
	/* Reads of one file may be under way at once: read-ahead goes on while a program works. */
	FUSE_ASYNC_READ | FUSE_ASYNC_DIO |
	/* Requests of up to FS_WRITE_MAX bytes instead of a page. */
	FUSE_BIG_WRITES | FUSE_MAX_PAGES |
	/* Truncation comes with OPEN: one request instead of two, and no moment in between. */
	FUSE_ATOMIC_O_TRUNC |
	/* The umask comes along and is applied here, since a default ACL of the directory must replace it. */
	FUSE_DONT_MASK |
	/* ACLs are checked in the guest, like modes. Without it they would be stored and ignored. */
	FUSE_POSIX_ACL | FUSE_SETXATTR_EXT |
	/* The guest says when set-uid and set-gid bits must go; it saves it a look before every write. */
	FUSE_HANDLE_KILLPRIV_V2 |
	/* A changed size or mtime drops cached pages: what makes it right to keep them over a re-open. */
	FUSE_AUTO_INVAL_DATA |
	/* Names and attributes in one request where a program lists and stats; the guest sees when that pays. */
	FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO |
	/* The host kernel does the locking of directories. */
	FUSE_PARALLEL_DIROPS |
	/* A link's text never changes: a changed one is another inode, hence another node. */
	FUSE_CACHE_SYMLINKS |
	/* Each host mount is a mount in the guest, with a device number of its own. */
	FUSE_SUBMOUNTS | FUSE_INIT_EXT |
	/* Files of a share that is not cached can still be mapped. */
	FS_DIRECT_IO_ALLOW_MMAP |
	/* Mounts in the guest may be id-mapped (containers in user namespaces): only ids of creators matter here. */
	FS_ALLOW_IDMAP;

/*
 * Not asked for:
 * FUSE_POSIX_LOCKS, FUSE_FLOCK_LOCKS: locks stay in the guest's kernel. They work among all processes of the VM; they
 *   are not seen by the host or by other VMs. A lock on the host could block a file thread, and the guest's driver
 *   cannot interrupt a request that waits.
 * FUSE_EXPORT_SUPPORT: needs ".." to be resolved, which we never do.
 * FUSE_NO_OPENDIR_SUPPORT: an open directory keeps its place while entries come and go, which tmpfs needs.
 * FUSE_EXPLICIT_INVAL_DATA, FUSE_HAS_EXPIRE_ONLY, FUSE_HAS_RESEND: for notifications, which virtio-fs lacks.
 * FUSE_SPLICE_*, FUSE_ABORT_ERROR: matters of /dev/fuse.
 * FUSE_SECURITY_CTX, FUSE_CREATE_SUPP_GROUP: labels are the host's; groups are checked in the guest.
 * FUSE_HAS_IOCTL_DIR: ioctls are refused.
 */

/*
 * What the kernel reads of a file around where a program has come upon it, at most; Linux would read twice as much. A
 * program that begins reads little of itself here and there, and each page is memory of the guest. Reads that ask for
 * more get more.
 */
enum { READAHEAD_MAX = 64 << 10 };

int fs_do_init(struct fs_request *request)
{
	const struct fuse_init_in *in = fs_take(request, sizeof *in);
	struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION, .minor = FS_FUSE_MINOR };

	if (in->major != FUSE_KERNEL_VERSION || in->minor < FS_FUSE_MINOR_MIN)
		return EPROTO;
	if (in->minor < out.minor)
		out.minor = in->minor;

	uint64_t offered = in->flags;

	if (offered & FUSE_INIT_EXT)
		offered |= (uint64_t)in->flags2 << 32;

	uint64_t flags = wanted & offered;
	bool write_back = offered & FUSE_WRITEBACK_CACHE && request->server->caching.write_back;
	/* The driver has found the window: it offers the first. Which files are mapped, their attributes say. */
	uint64_t mapping = FUSE_MAP_ALIGNMENT | FUSE_HAS_INODE_DAX;
	bool maps = request->server->window && (offered & mapping) == mapping;
	bool openless = offered & FUSE_NO_OPEN_SUPPORT && fs_files_need_no_open(request);

	/* The guest is master of size and mtime then, and a write by the host would be lost: only where it is asked
	 * for. */
	if (write_back)
		flags |= FUSE_WRITEBACK_CACHE;
	if (maps) {
		flags |= mapping;
		out.map_alignment = FS_WINDOW_PIECE_SHIFT;
	}
	/* Without OPEN, nothing comes with OPEN: truncation is a SETATTR. */
	if (openless)
		flags &= ~(uint64_t)FUSE_ATOMIC_O_TRUNC;

	out.flags = (uint32_t)flags;
	out.flags2 = (uint32_t)(flags >> 32);
	out.max_readahead = in->max_readahead < READAHEAD_MAX ? in->max_readahead : READAHEAD_MAX;
	out.max_write = FS_WRITE_MAX;
	out.max_pages = FS_PAGES_MAX;
	out.time_gran = 1;
	/* Read-ahead and the like, at most so many at a time; more than a few threads keep busy, less than the queue.
	 */
	out.max_background = 64;
	out.congestion_threshold = 48;

	/* A second INIT is a second mount: what the first one knew is gone. */
	fs_server_reset(request->server);
	request->server->openless = openless;
	request->server->write_back = write_back;
	request->server->maps = maps;
	atomic_store(&request->server->minor, out.minor);
	return fs_reply(request, &out, sizeof out);
}

int fs_do_destroy(struct fs_request *request)
{
	fs_server_reset(request->server);
	return 0;
}
