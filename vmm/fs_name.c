/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_name.c - everything that finds, makes, moves or removes a name in a directory.
 *
 * A name is one component (fs_name_check), and it is resolved by the host kernel beneath one directory's descriptor
 * with the last component never followed: so whatever else happens in the tree at the same time, by the guest or by the
 * host, the object found is an entry of that directory.
 */
#include "vmm/fs_attr.h"
#include "vmm/fs_request.h"

#include "common/auto.h"
#include "common/fd_stat.h"

#include <errno.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#define RENAME_EXCHANGE (1 << 1)
#define RENAME_WHITEOUT (1 << 2)
#endif

static uint32_t entry_flags(const struct fs_request *request, const struct fs_share *share, const struct fs_key *key,
			    const struct stat *st, bool submount)
{
	return (submount ? FUSE_ATTR_SUBMOUNT : 0) |
	       (fs_pays_to_map(request->server, share, key, st) ? FUSE_ATTR_DAX : 0);
}

static void fill_entry(struct fs_request *request, struct fuse_entry_out *entry, uint64_t id, const struct stat *st,
		       uint32_t flags, uint64_t salt)
{
	const struct fs_caching *caching = &request->server->caching;

	memset(entry, 0, sizeof *entry);
	entry->nodeid = id;
	/* The generation stays 0: an id is never used for a second object in this session, it holds its own. */
	fs_attr_validity(caching->name_ns, &entry->entry_valid, &entry->entry_valid_nsec);
	fs_attr_validity(caching->attr_ns, &entry->attr_valid, &entry->attr_valid_nsec);
	fs_attr_fill(&entry->attr, st, flags, salt);
}

/* `fd`, found through mount `mount`, is taken. */
static int enter(struct fs_request *request, struct fs_share *share, const struct fs_node *parent, int fd,
		 uint64_t mount, struct fuse_entry_out *entry, struct fs_node **node)
{
	struct fs_found found = { .fd = fd, .share = share };
	struct stat st;

	if (fd_stat(fd, &st)) {
		int error = errno;

		close_fd(&found.fd);
		return error;
	}
	found.key = (struct fs_key){ .mount = mount, .device = st.st_dev, .inode = st.st_ino };
	found.type = st.st_mode & S_IFMT;
	found.salt = found.key.device == parent->key.device
			     ? parent->salt
			     : fs_devices_salt(&request->server->devices, found.key.device);
	/* A mount on the host, within a share, is one in the guest. Why not each share too: fs_devices.h. */
	found.submount = S_ISDIR(st.st_mode) && !fs_node_is_root(parent) &&
			 (parent->key.mount != found.key.mount || parent->key.device != found.key.device);

	uint64_t id = fs_nodes_look_up(&request->server->nodes, &found, node);

	if (!id)
		return errno;
	fill_entry(request, entry, id, &st, entry_flags(request, share, &found.key, &st, found.submount), found.salt);
	return 0;
}

int fs_enter_made(struct fs_request *request, const struct fs_node *parent, int fd, struct fuse_entry_out *entry,
		  struct fs_node **node)
{
	return enter(request, parent->share, parent, fd, parent->key.mount, entry, node);
}

static int look_up_share(struct fs_request *request, const struct fs_node *root, const char *name,
			 struct fuse_entry_out *entry)
{
	struct fs_share *share = fs_shares_find(&request->server->shares, name);

	if (!share)
		return ENOENT;

	int fd = fcntl(share->fd, F_DUPFD_CLOEXEC, 0);
	int error = fd < 0 ? errno : enter(request, share, root, fd, share->mount, entry, NULL);

	fs_share_put(share);
	/*
	 * The name of a share is looked up again each time, which only the agent does: a look-up after the share was
	 * removed makes the guest forget the files it knows of it, and they are closed here.
	 */
	entry->entry_valid = 0;
	entry->entry_valid_nsec = 0;
	return error;
}

/*
 * O_PATH opens nothing: no device, no fifo, no automount is touched by a look-up. In most cases the entry lies on its
 * directory's mount, and openat2 says so at no extra cost; else the mount has to be asked for.
 */
static int open_entry(const struct fs_node *parent, const char *name, uint64_t *mount)
{
	const struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_NO_XDEV };
	int fd = (int)syscall(SYS_openat2, parent->fd, name, &how, sizeof how);

	*mount = parent->key.mount;
	if (fd >= 0 || errno != EXDEV)
		return fd;
	fd = openat(parent->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && fs_attr_mount(fd, mount)) {
		int saved = errno;

		close_fd(&fd);
		errno = saved;
	}
	return fd;
}

int fs_look_up_at(struct fs_request *request, const struct fs_node *parent, const char *name,
		  struct fuse_entry_out *entry)
{
	uint64_t mount;

	if (fs_node_is_root(parent))
		return look_up_share(request, parent, name, entry);

	int fd = open_entry(parent, name, &mount);

	return fd < 0 ? errno : enter(request, parent->share, parent, fd, mount, entry, NULL);
}

int fs_do_lookup(struct fs_request *request)
{
	uint64_t absence_ns = request->server->caching.absence_ns;
	struct fuse_entry_out entry;
	int error = 0;
	const char *name = fs_take_name(request, &error);

	if (!name)
		return error;
	if (!fs_args_are_taken(request))
		return EINVAL;
	error = fs_look_up_at(request, request->node, name, &entry);
	if (error == ENOENT && absence_ns && !fs_node_is_root(request->node)) {
		/* "Not there, and you need not ask for a while": programs look for many names in vain. */
		memset(&entry, 0, sizeof entry);
		fs_attr_validity(absence_ns, &entry.entry_valid, &entry.entry_valid_nsec);
		error = 0;
	}
	return error ? error : fs_reply(request, &entry, sizeof entry);
}

int fs_do_forget(struct fs_request *request)
{
	const struct fuse_forget_in *in = fs_take(request, sizeof *in);

	fs_nodes_forget(&request->server->nodes, request->header.nodeid, in->nlookup);
	return 0;
}

int fs_do_batch_forget(struct fs_request *request)
{
	const struct fuse_batch_forget_in *in = fs_take(request, sizeof *in);
	const struct fuse_forget_one *one;

	if (request->args_length - request->args_taken != (uint64_t)in->count * sizeof *one)
		return EINVAL;
	while ((one = fs_take(request, sizeof *one)))
		fs_nodes_forget(&request->server->nodes, one->nodeid, one->nlookup);
	return 0;
}

/* --- making ------------------------------------------------------------------------------------------------------ */

/* What is made next belongs to who asks. Looks for room first: a file that nobody can be told about is litter. */
int fs_prepare_creation(struct fs_request *request, mode_t mode, mode_t mask)
{
	struct fs_server *server = request->server;
	int error = 0;

	if (fs_nodes_count(&server->nodes) >= server->nodes.ids.max)
		return ENFILE;
	if (mode & S_ISGID)
		error = fs_creds_keep_setid(&request->worker->creds, true);
	return error ? error : fs_creds_become(&request->worker->creds, request->header.uid, request->header.gid, mask);
}

static int reply_entry(struct fs_request *request, const char *name)
{
	struct fuse_entry_out entry;
	int error = fs_look_up_at(request, request->node, name, &entry);

	return error ? error : fs_reply(request, &entry, sizeof entry);
}

int fs_do_symlink(struct fs_request *request)
{
	int error = 0;
	const char *name = fs_take_name(request, &error);
	const char *text = name ? fs_take_text(request, FS_LINK_MAX, &error) : NULL;

	if (!text)
		return error;
	if (!fs_args_are_taken(request))
		return EINVAL;
	error = fs_prepare_creation(request, 0, 0);
	if (error)
		return error;
	/* The text is the guest's own business: nothing on this side ever follows it. */
	if (symlinkat(text, request->node->fd, name))
		return errno;
	return reply_entry(request, name);
}

/* The protocol's packing, undone: see pack_device in fs_attr.c. */
static dev_t unpack_device(uint32_t packed)
{
	return makedev((packed & 0xfff00) >> 8, (packed & 0xff) | (packed >> 12 & 0xfff00));
}

int fs_do_mknod(struct fs_request *request)
{
	const struct fuse_mknod_in *in = fs_take(request, sizeof *in);
	int error = 0;
	const char *name = fs_take_name(request, &error);

	if (!name)
		return error;
	if (!fs_args_are_taken(request))
		return EINVAL;
	switch (in->mode & S_IFMT) {
	case 0:
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
		break;
	case S_IFCHR:
	case S_IFBLK:
		/*
		 * As under runc, a container that may make device nodes makes them: the monitor's CAP_MKNOD is the
		 * switch. Neither side opens one through this server; the share's mount has nodev.
		 */
		break;
	default:
		return EINVAL;
	}
	error = fs_prepare_creation(request, in->mode, in->umask);
	if (error)
		return error;
	if (mknodat(request->node->fd, name, in->mode & (S_IFMT | 07777), unpack_device(in->rdev)))
		return errno;
	return reply_entry(request, name);
}

int fs_do_mkdir(struct fs_request *request)
{
	const struct fuse_mkdir_in *in = fs_take(request, sizeof *in);
	int error = 0;
	const char *name = fs_take_name(request, &error);

	if (!name)
		return error;
	if (!fs_args_are_taken(request))
		return EINVAL;
	error = fs_prepare_creation(request, in->mode, in->umask);
	if (error)
		return error;
	if (mkdirat(request->node->fd, name, in->mode & 07777))
		return errno;
	return reply_entry(request, name);
}

static int reply_link(struct fs_request *request, struct fs_node *node)
{
	struct fuse_entry_out entry;
	struct stat st;

	if (fd_stat(node->fd, &st))
		return errno;

	uint64_t id = fs_nodes_count_lookup(&request->server->nodes, node);

	if (!id)
		return errno;
	fill_entry(request, &entry, id, &st, entry_flags(request, node->share, &node->key, &st, node->submount),
		   node->salt);
	return fs_reply(request, &entry, sizeof entry);
}

static int link_node(struct fs_request *request, struct fs_node *node, const char *name)
{
	if (fs_node_is_root(node))
		return EPERM;
	if (node->fd < 0)
		return ESTALE;
	if (node->share != request->node->share)
		return EXDEV;
	/*
	 * By the descriptor's own link in /proc: by name could be another file's by now, and AT_EMPTY_PATH wants
	 * CAP_DAC_READ_SEARCH. Following it ends at the inode, also if that is a symbolic link.
	 */
	if (linkat(request->server->proc_fd, fs_proc_name(node).text, request->node->fd, name, AT_SYMLINK_FOLLOW))
		return errno;
	return reply_link(request, node);
}

int fs_do_link(struct fs_request *request)
{
	const struct fuse_link_in *in = fs_take(request, sizeof *in);
	int error = 0;
	const char *name = fs_take_name(request, &error);

	if (!name)
		return error;
	if (!fs_args_are_taken(request))
		return EINVAL;

	struct fs_node *node = fs_nodes_get(&request->server->nodes, in->oldnodeid);

	if (!node)
		return ESTALE;
	error = link_node(request, node, name);
	fs_nodes_put(&request->server->nodes, node);
	return error;
}

/* --- moving and removing ----------------------------------------------------------------------------------------- */

static int rename_between(struct fs_request *request, const struct fs_node *to, const char *old_name,
			  const char *new_name, unsigned flags)
{
	if (fs_node_is_root(to))
		return EROFS;
	if (to->fd < 0)
		return ESTALE;
	if (!S_ISDIR(to->type))
		return ENOTDIR;
	if (to->share != request->node->share)
		return EXDEV;
	return renameat2(request->node->fd, old_name, to->fd, new_name, flags) ? errno : 0;
}

static int do_rename(struct fs_request *request, uint64_t to_id, unsigned flags)
{
	int error = 0;
	const char *old_name = fs_take_name(request, &error);
	const char *new_name = old_name ? fs_take_name(request, &error) : NULL;

	if (!new_name)
		return error;
	if (!fs_args_are_taken(request) || flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return EINVAL;
	/* A whiteout is a new object, and has an owner. */
	if (flags & RENAME_WHITEOUT)
		error = fs_creds_become(&request->worker->creds, request->header.uid, request->header.gid, 0);
	if (error)
		return error;

	struct fs_node *to = fs_nodes_get(&request->server->nodes, to_id);

	if (!to)
		return ESTALE;
	error = rename_between(request, to, old_name, new_name, flags);
	fs_nodes_put(&request->server->nodes, to);
	return error;
}

int fs_do_rename(struct fs_request *request)
{
	const struct fuse_rename_in *in = fs_take(request, sizeof *in);

	return do_rename(request, in->newdir, 0);
}

int fs_do_rename2(struct fs_request *request)
{
	const struct fuse_rename2_in *in = fs_take(request, sizeof *in);

	return do_rename(request, in->newdir, in->flags);
}

static int do_unlink(struct fs_request *request, int flags)
{
	int error = 0;
	const char *name = fs_take_name(request, &error);

	if (!name)
		return error;
	if (!fs_args_are_taken(request))
		return EINVAL;
	return unlinkat(request->node->fd, name, flags) ? errno : 0;
}

int fs_do_unlink(struct fs_request *request)
{
	return do_unlink(request, 0);
}

int fs_do_rmdir(struct fs_request *request)
{
	return do_unlink(request, AT_REMOVEDIR);
}
