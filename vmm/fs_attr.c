/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/fs_attr.h"

#include "common/auto.h"
#include "common/fd_stat.h"
#include "vmm/fs_request.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

/*
 * What every look-up needs comes from fstat, which costs a fraction of statx: that one copies a name from user memory
 * even if it is empty. NO_AUTOMOUNT: a guest must not make the host mount things; SYNC_AS_STAT: network file systems
 * decide, as with fstat.
 */
static int stat_with(int fd, unsigned mask, struct statx *st)
{
	return statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_AS_STAT, mask, st);
}

int fs_attr_mount(int fd, uint64_t *mount)
{
	struct statx st;

	if (stat_with(fd, STATX_MNT_ID, &st))
		return -1;
	*mount = st.stx_mnt_id;
	return 0;
}

/* 12 bits of major number between 20 of minor: how the protocol, like the kernel's old interfaces, packs a device. */
static uint32_t pack_device(uint32_t major_number, uint32_t minor_number)
{
	return (minor_number & 0xff) | (major_number & 0xfff) << 8 | (minor_number & ~0xffu) << 12;
}

void fs_attr_fill(struct fuse_attr *attr, const struct stat *st, uint32_t flags, uint64_t salt)
{
	*attr = (struct fuse_attr){
		.ino = st->st_ino ^ salt,
		.size = (uint64_t)st->st_size,
		.blocks = (uint64_t)st->st_blocks,
		.atime = (uint64_t)st->st_atim.tv_sec,
		.mtime = (uint64_t)st->st_mtim.tv_sec,
		.ctime = (uint64_t)st->st_ctim.tv_sec,
		.atimensec = (uint32_t)st->st_atim.tv_nsec,
		.mtimensec = (uint32_t)st->st_mtim.tv_nsec,
		.ctimensec = (uint32_t)st->st_ctim.tv_nsec,
		.mode = st->st_mode,
		.nlink = (uint32_t)st->st_nlink,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.rdev = pack_device(major(st->st_rdev), minor(st->st_rdev)),
		.blksize = (uint32_t)st->st_blksize,
		.flags = flags,
	};
}

void fs_attr_validity(uint64_t ns, uint64_t *seconds, uint32_t *nanoseconds)
{
	*seconds = ns / 1000000000u;
	*nanoseconds = (uint32_t)(ns % 1000000000u);
}

static uint32_t flags_of(const struct fs_server *server, const struct fs_node *node, const struct stat *st)
{
	return (node->submount ? FUSE_ATTR_SUBMOUNT : 0) |
	       (fs_pays_to_map(server, node->share, &node->key, st) ? FUSE_ATTR_DAX : 0);
}

int fs_attr_of_node(const struct fs_server *server, const struct fs_node *node, struct fuse_attr *attr)
{
	struct stat st;

	if (fs_node_is_root(node)) {
		*attr = (struct fuse_attr){ .ino = 1, .mode = S_IFDIR | 0555, .nlink = 2, .blksize = 4096 };
		return 0;
	}
	if (fd_stat(node->fd, &st))
		return errno;
	fs_attr_fill(attr, &st, flags_of(server, node, &st), node->salt);
	return 0;
}

static int reply_attr(struct fs_request *request)
{
	struct fuse_attr_out out = { 0 };
	int error = fs_attr_of_node(request->server, request->node, &out.attr);

	if (error)
		return error;
	fs_attr_validity(request->server->caching.attr_ns, &out.attr_valid, &out.attr_valid_nsec);
	return fs_reply(request, &out, sizeof out);
}

int fs_do_getattr(struct fs_request *request)
{
	/* A file handle in the request, if there is one, is of the same inode: the node's descriptor will do. */
	return reply_attr(request);
}

static struct fs_sx_time sx_time(struct statx_timestamp time)
{
	return (struct fs_sx_time){ .seconds = time.tv_sec, .nanoseconds = time.tv_nsec };
}

static int fill_statx(const struct fs_server *server, const struct fs_node *node, struct fs_statx_out *reply)
{
	struct fs_statx *out = &reply->stat;
	struct statx st = { 0 };

	if (fs_node_is_root(node)) {
		*out = (struct fs_statx){
			.mask = STATX_BASIC_STATS, .ino = 1, .mode = S_IFDIR | 0555, .nlink = 2, .blksize = 4096
		};
		return 0;
	}
	if (stat_with(node->fd, STATX_BASIC_STATS | STATX_BTIME, &st))
		return errno;
	*out = (struct fs_statx){
		.mask = st.stx_mask & (STATX_BASIC_STATS | STATX_BTIME),
		.blksize = st.stx_blksize,
		.nlink = st.stx_nlink,
		.uid = st.stx_uid,
		.gid = st.stx_gid,
		.mode = st.stx_mode,
		.ino = st.stx_ino ^ node->salt,
		.size = st.stx_size,
		.blocks = st.stx_blocks,
		.atime = sx_time(st.stx_atime),
		.btime = sx_time(st.stx_btime),
		.ctime = sx_time(st.stx_ctime),
		.mtime = sx_time(st.stx_mtime),
		.rdev_major = st.stx_rdev_major,
		.rdev_minor = st.stx_rdev_minor,
	};

	const struct stat size = { .st_mode = st.stx_mode, .st_size = (off_t)st.stx_size };

	reply->flags = flags_of(server, node, &size);
	return 0;
}

int fs_do_statx(struct fs_request *request)
{
	struct fs_statx_out out = { 0 };
	int error = fill_statx(request->server, request->node, &out);

	if (error)
		return error;
	fs_attr_validity(request->server->caching.attr_ns, &out.attr_valid, &out.attr_valid_nsec);
	return fs_reply(request, &out, sizeof out);
}

/* --- SETATTR ----------------------------------------------------------------------------------------------------- */

enum {
	SETATTR_KNOWN = FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE | FATTR_ATIME | FATTR_MTIME | FATTR_FH |
			FATTR_ATIME_NOW | FATTR_MTIME_NOW | FATTR_LOCKOWNER | FATTR_CTIME | FATTR_KILL_SUIDGID,
};

static int set_owner(struct fs_request *request, const struct fuse_setattr_in *in)
{
	uid_t uid = in->valid & FATTR_UID ? in->uid : (uid_t)-1;
	gid_t gid = in->valid & FATTR_GID ? in->gid : (gid_t)-1;

	if ((in->valid & FATTR_UID && uid == (uid_t)-1) || (in->valid & FATTR_GID && gid == (gid_t)-1))
		return EINVAL;
	/* The host kernel clears set-uid and set-gid bits on a change of owner, whoever asks: KILL_SUIDGID is met. */
	return fchownat(request->node->fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) ? errno : 0;
}

static int set_mode(struct fs_request *request, const struct fuse_setattr_in *in)
{
	/* The guest has taken away a set-gid bit its caller may not set; what is left is meant. */
	int error = fs_creds_keep_setid(&request->worker->creds, true);

	if (error)
		return error;
	/* No chmod by O_PATH descriptor before Linux 6.6; its link in /proc leads to the inode, which is no symlink. */
	if (S_ISLNK(request->node->type))
		return EOPNOTSUPP;
	return fchmodat(request->server->proc_fd, fs_proc_name(request->node).text, in->mode & 07777, 0) ? errno : 0;
}

static int set_size(struct fs_request *request, const struct fuse_setattr_in *in)
{
	struct fs_server *server = request->server;
	int error = fs_creds_keep_setid(&request->worker->creds, !(in->valid & FATTR_KILL_SUIDGID));

	if (error)
		return error;
	if (in->size > INT64_MAX)
		return EFBIG;
	if (in->valid & FATTR_FH && in->fh) {
		struct fs_file file;

		error = fs_file_get(request, request->node, in->fh, O_WRONLY, &file);
		if (!error)
			error = ftruncate(file.fd, (off_t)in->size) ? errno : 0;
		fs_file_put(server, &file);
		return error;
	}
	if (S_ISDIR(request->node->type))
		return EISDIR;

	auto_fd int fd = fs_open_node(server, request->node, O_WRONLY);

	if (fd < 0)
		return errno;
	return ftruncate(fd, (off_t)in->size) ? errno : 0;
}

static int one_time(uint32_t valid, uint32_t set, uint32_t now, uint64_t seconds, uint32_t nanoseconds,
		    struct timespec *time)
{
	if (!(valid & set)) {
		time->tv_nsec = UTIME_OMIT;
		return 0;
	}
	if (valid & now) {
		time->tv_nsec = UTIME_NOW;
		return 0;
	}
	/* UTIME_NOW and UTIME_OMIT are above this bound too. */
	if (nanoseconds >= 1000000000u)
		return EINVAL;
	*time = (struct timespec){ .tv_sec = (time_t)seconds, .tv_nsec = nanoseconds };
	return 0;
}

static int set_times(struct fs_request *request, const struct fuse_setattr_in *in)
{
	struct timespec times[2] = { { 0 }, { 0 } };

	if (one_time(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec, &times[0]) ||
	    one_time(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec, &times[1]))
		return EINVAL;
	return utimensat(request->node->fd, "", times, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) ? errno : 0;
}

int fs_do_setattr(struct fs_request *request)
{
	const struct fuse_setattr_in *in = fs_take(request, sizeof *in);
	int error = in->valid & ~(uint32_t)SETATTR_KNOWN ? EINVAL : 0;

	/* Owner before mode, since a change of owner clears bits; size before times, since it sets them. */
	if (!error && in->valid & (FATTR_UID | FATTR_GID))
		error = set_owner(request, in);
	if (!error && in->valid & FATTR_MODE)
		error = set_mode(request, in);
	if (!error && in->valid & FATTR_SIZE)
		error = set_size(request, in);
	/*
	 * Nothing at all is what remains of a request to take set-uid bits and file capabilities away, as chown(-1, -1)
	 * does; and that is how the host's kernel is asked for it.
	 */
	if (!error && !(in->valid & (FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE | FATTR_ATIME | FATTR_MTIME)))
		error = fchownat(request->node->fd, "", (uid_t)-1, (gid_t)-1, AT_EMPTY_PATH) ? errno : 0;
	/* FATTR_CTIME comes only with a write-back cache; no call sets it, and the host's own is right. */
	if (!error && in->valid & (FATTR_ATIME | FATTR_MTIME))
		error = set_times(request, in);
	return error ? error : reply_attr(request);
}

/* --- the rest ---------------------------------------------------------------------------------------------------- */

int fs_do_readlink(struct fs_request *request)
{
	char *text = (char *)request->worker->scratch;

	if (!S_ISLNK(request->node->type))
		return EINVAL;

	ssize_t length = readlinkat(request->node->fd, "", text, FS_LINK_MAX + 1);

	if (length < 0)
		return errno;
	if (length > FS_LINK_MAX)
		return ENAMETOOLONG;
	return fs_reply(request, text, (size_t)length);
}

int fs_do_statfs(struct fs_request *request)
{
	struct fuse_statfs_out out = { .st = { .bsize = 4096, .frsize = 4096, .namelen = FS_NAME_MAX } };
	struct statfs fs;

	if (fs_node_is_root(request->node))
		return fs_reply(request, &out, sizeof out);
	if (fstatfs(request->node->fd, &fs))
		return errno;
	out.st = (struct fuse_kstatfs){
		.blocks = fs.f_blocks,
		.bfree = fs.f_bfree,
		.bavail = fs.f_bavail,
		.files = fs.f_files,
		.ffree = fs.f_ffree,
		.bsize = (uint32_t)fs.f_bsize,
		.frsize = (uint32_t)fs.f_frsize,
		.namelen = (uint32_t)fs.f_namelen,
	};
	return fs_reply(request, &out, sizeof out);
}
