/* SPDX-License-Identifier: Apache-2.0 */
/* Every operation of the FUSE server, against a temporary directory. */
#include "tests/unit/fs_client.h"

#include <linux/falloc.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static struct client c;

static int start(void **state)
{
	(void)state;
	client_start(&c);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	client_stop(&c);
	return 0;
}

static bool am_root(void)
{
	return geteuid() == 0;
}

/* --- the session ------------------------------------------------------------------------------------------------- */

static void init_features_are_those_wanted_and_offered(void **state)
{
	struct fuse_init_in in = { .major = 7,
				   .minor = 38,
				   .max_readahead = 4096,
				   .flags = FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_WRITEBACK_CACHE };
	struct fuse_init_out *out = (void *)c.reply;

	(void)state;
	assert_int_equal(client_call(&c, FUSE_INIT, 0, &in, sizeof in), 0);
	assert_int_equal(c.length, sizeof *out);
	assert_int_equal(out->major, 7);
	assert_int_equal(out->minor, 38);
	assert_int_equal(out->flags, FUSE_ASYNC_READ);
	assert_int_equal(out->flags2, 0);
	assert_int_equal(out->max_write, FS_WRITE_MAX);

	assert_int_equal(client_init(&c), 0);
	assert_int_equal(out->minor, 41);
	assert_true(out->flags & FUSE_SUBMOUNTS && out->flags & FUSE_POSIX_ACL && out->flags & FUSE_HANDLE_KILLPRIV_V2);
	assert_false(out->flags & (FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS | FUSE_WRITEBACK_CACHE | FUSE_EXPORT_SUPPORT));
	assert_int_equal(out->flags2, (FS_DIRECT_IO_ALLOW_MMAP | FS_ALLOW_IDMAP) >> 32);
}

static void init_other_protocol_is_refused(void **state)
{
	struct fuse_init_in old = { .major = 7, .minor = 20 }, other = { .major = 8, .minor = 41 };

	(void)state;
	assert_int_equal(client_call(&c, FUSE_INIT, 0, &old, sizeof old), EPROTO);
	assert_int_equal(client_call(&c, FUSE_INIT, 0, &other, sizeof other), EPROTO);
}

static void init_missing_refuses_everything_else(void **state)
{
	struct fuse_entry_out entry;

	(void)state;
	assert_int_equal(client_call(&c, FUSE_DESTROY, 0, NULL, 0), 0);
	assert_int_equal(client_lookup(&c, FS_ROOT_ID, "s", &entry), EIO);
	assert_int_equal(client_init(&c), 0);
	assert_int_equal(client_lookup(&c, FS_ROOT_ID, "s", &entry), 0);
}

static void destroy_forgets_all_and_closes_all(void **state)
{
	unsigned before = client_open_files();
	struct fuse_entry_out entry;
	uint64_t fh;

	(void)state;
	assert_int_equal(client_create(&c, c.top, "f", O_RDWR, 0644, 0, &entry, &fh), 0);
	assert_int_equal(client_call(&c, FUSE_DESTROY, 0, NULL, 0), 0);
	assert_int_equal(client_open_files(), before - 1); /* the node of the share's root went too */
	assert_int_equal(client_init(&c), 0);
	struct fuse_attr attr;
	assert_int_equal(client_getattr(&c, entry.nodeid, &attr), ESTALE);
	assert_int_equal(client_getattr(&c, c.top, &attr), ESTALE);
}

/* --- names ------------------------------------------------------------------------------------------------------- */

static void lookup_counts_until_forgotten(void **state)
{
	struct fuse_attr attr;

	(void)state;
	client_put_file(client_path(&c, "f"), "x");
	uint64_t node = client_find(&c, c.top, "f");
	assert_int_equal(client_find(&c, c.top, "f"), node);
	client_forget(&c, node, 1);
	assert_int_equal(client_getattr(&c, node, &attr), 0);
	client_forget(&c, node, 1);
	assert_int_equal(client_getattr(&c, node, &attr), ESTALE);
	assert_int_not_equal(client_find(&c, c.top, "f"), node);
}

static void batch_forget_takes_all(void **state)
{
	struct {
		struct fuse_in_header header;
		struct fuse_batch_forget_in in;
		struct fuse_forget_one one[3];
	} request = { { .len = sizeof request, .opcode = FUSE_BATCH_FORGET }, { .count = 3 }, { { 0 } } };
	struct fuse_attr attr;

	(void)state;
	client_put_file(client_path(&c, "a"), "");
	client_put_file(client_path(&c, "b"), "");
	uint64_t a = client_find(&c, c.top, "a"), b = client_find(&c, c.top, "b");
	request.one[0] = (struct fuse_forget_one){ a, 1 };
	request.one[1] = (struct fuse_forget_one){ 12345, 7 };
	request.one[2] = (struct fuse_forget_one){ b, 1 };
	/* A count that is not that of the entries is no request at all. */
	request.in.count = 0x10000003;
	assert_int_equal(client_raw(&c, &request, sizeof request, 0), 0);
	assert_int_equal(client_getattr(&c, a, &attr), 0);
	request.in.count = 3;
	assert_int_equal(client_raw(&c, &request, sizeof request, 64), 0);
	assert_int_equal(client_getattr(&c, a, &attr), ESTALE);
	assert_int_equal(client_getattr(&c, b, &attr), ESTALE);
}

static void lookup_of_nothing_is_cacheable(void **state)
{
	struct fuse_entry_out entry;

	(void)state;
	assert_int_equal(client_lookup(&c, c.top, "nothing", &entry), 0);
	assert_int_equal(entry.nodeid, 0);
	assert_int_equal(entry.entry_valid, 1);
	/* Shares may come at any time: nobody is told that one is not there. */
	assert_int_equal(client_lookup(&c, FS_ROOT_ID, "nothing", &entry), ENOENT);
}

static void lookup_attributes_are_the_hosts(void **state)
{
	struct fuse_entry_out entry;
	struct stat st;

	(void)state;
	client_put_file(client_path(&c, "f"), "hello");
	assert_int_equal(chmod(client_path(&c, "f"), 04751), 0);
	assert_int_equal(client_lookup(&c, c.top, "f", &entry), 0);
	assert_int_equal(stat(client_path(&c, "f"), &st), 0);
	assert_int_equal(entry.attr.mode, S_IFREG | 04751);
	assert_int_equal(entry.attr.size, 5);
	assert_int_equal(entry.attr.ino, st.st_ino);
	assert_int_equal(entry.attr.mtime, st.st_mtim.tv_sec);
	assert_int_equal(entry.attr.mtimensec, st.st_mtim.tv_nsec);
	assert_int_equal(entry.attr.nlink, 1);
	assert_int_equal(entry.attr.uid, geteuid());
	assert_int_equal(entry.attr.flags, 0);
}

static void shares_of_other_devices_have_other_inode_numbers(void **state)
{
	struct fuse_entry_out first, other;
	struct stat st;

	(void)state;
	assert_int_equal(client_lookup(&c, FS_ROOT_ID, "s", &first), 0);
	assert_int_equal(first.nodeid, c.top);
	/* Not a mount of its own: fs_devices.h says why. */
	assert_int_equal(first.attr.flags, 0);
	assert_int_equal(stat(c.share, &st), 0);
	assert_int_equal(first.attr.ino, st.st_ino);
	/* /proc is surely another file system; nothing in it is opened. */
	client_add_share(&c, "proc", "/proc", true);
	assert_int_equal(client_lookup(&c, FS_ROOT_ID, "proc", &other), 0);
	assert_int_equal(stat("/proc", &st), 0);
	assert_int_equal(other.attr.ino, st.st_ino ^ 1ull << 48);
	/* Within a share, a mount stays one. /proc/sys/fs/binfmt_misc may be an automount: not touched. */
	struct fuse_attr attr;
	assert_int_equal(client_getattr(&c, other.nodeid, &attr), 0);
	assert_int_equal(attr.ino, other.attr.ino);
	assert_int_equal(client_lookup(&c, other.nodeid, "self", &other), 0);
	assert_int_equal(other.attr.mode & S_IFMT, S_IFLNK);
	assert_int_equal(other.attr.ino >> 48, 1);
}

static void mounts_within_a_share_are_submounts(void **state)
{
	struct fuse_entry_out entry;

	(void)state;
	/* Any machine's /: proc, dev or sys beneath it is another mount. */
	client_add_share(&c, "root", "/", true);
	uint64_t root = client_find(&c, FS_ROOT_ID, "root");
	assert_int_equal(client_lookup(&c, root, "proc", &entry), 0);
	assert_int_equal(entry.attr.flags, FUSE_ATTR_SUBMOUNT);
	assert_int_equal(client_lookup(&c, root, "tmp", &entry), 0);
}

static void mkdir_mode_and_umask_are_applied(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(client_mkdir(&c, c.top, "d", 01777, 027), 0);
	assert_int_equal(client_entry(&c)->attr.mode, S_IFDIR | 01750);
	assert_int_equal(stat(client_path(&c, "d"), &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 01750);
	assert_int_equal(client_mkdir(&c, c.top, "d", 0755, 0), EEXIST);
	/* The umask of one request is not that of the next. */
	assert_int_equal(client_mkdir(&c, c.top, "e", 0777, 0), 0);
	assert_int_equal(client_entry(&c)->attr.mode, S_IFDIR | 0777);
}

static void mkdir_default_acl_replaces_the_umask(void **state)
{
	/* version 2; user::rwx, group::rwx, other::rwx */
	static const uint8_t acl[] = { 2, 0, 0,   0,   1,   0,   7,  0, 255, 255, 255, 255, 4,   0,
				       7, 0, 255, 255, 255, 255, 32, 0, 7,   0,   255, 255, 255, 255 };

	(void)state;
	if (setxattr(c.share, "system.posix_acl_default", acl, sizeof acl, 0))
		skip();
	assert_int_equal(client_mkdir(&c, c.top, "d", 0777, 077), 0);
	assert_int_equal(client_entry(&c)->attr.mode, S_IFDIR | 0777);
}

static void mknod_makes_what_was_asked(void **state)
{
	static const struct {
		mode_t mode;
		bool needs_root;
	} kinds[] = { { S_IFREG | 0640, false },
		      { S_IFIFO | 0600, false },
		      { S_IFSOCK | 0600, false },
		      { S_IFCHR | 0600, true },
		      { S_IFBLK | 0600, true } };

	(void)state;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		struct fuse_mknod_in in = { .mode = kinds[i].mode, .rdev = 0x12300000 | 5 << 8 | 0x45 };
		char name[8];
		struct stat st;

		if (kinds[i].needs_root && !am_root())
			continue;
		snprintf(name, sizeof name, "n%zu", i);
		int error = client_names(&c, FUSE_MKNOD, c.top, &in, sizeof in, name, NULL);
		if (kinds[i].needs_root && error == EPERM)
			continue; /* a container without CAP_MKNOD */
		assert_int_equal(error, 0);
		assert_int_equal(stat(client_path(&c, "%s", name), &st), 0);
		assert_int_equal(st.st_mode, kinds[i].mode);
		if (kinds[i].needs_root) {
			assert_int_equal(st.st_rdev, makedev(5, 0x12345));
			/* And back as it came. */
			assert_int_equal(client_entry(&c)->attr.rdev, in.rdev);
		}
	}
	struct fuse_mknod_in odd = { .mode = S_IFDIR | 0700 };
	assert_int_equal(client_names(&c, FUSE_MKNOD, c.top, &odd, sizeof odd, "d", NULL), EINVAL);
	odd.mode = S_IFLNK | 0700;
	assert_int_equal(client_names(&c, FUSE_MKNOD, c.top, &odd, sizeof odd, "l", NULL), EINVAL);
}

static void symlink_text_comes_back(void **state)
{
	char text[FS_LINK_MAX + 2];

	(void)state;
	assert_int_equal(client_names(&c, FUSE_SYMLINK, c.top, NULL, 0, "l", "../../etc/passwd"), 0);
	uint64_t node = client_entry(&c)->nodeid;
	assert_int_equal(client_entry(&c)->attr.mode & S_IFMT, S_IFLNK);
	assert_int_equal(client_call(&c, FUSE_READLINK, node, NULL, 0), 0);
	assert_int_equal(c.length, strlen("../../etc/passwd"));
	assert_memory_equal(c.reply, "../../etc/passwd", c.length);
	assert_int_equal(client_call(&c, FUSE_READLINK, c.top, NULL, 0), EINVAL);

	memset(text, 'x', sizeof text);
	text[FS_LINK_MAX] = 0;
	assert_int_equal(client_names(&c, FUSE_SYMLINK, c.top, NULL, 0, "long", text), 0);
	node = client_entry(&c)->nodeid;
	assert_int_equal(client_call(&c, FUSE_READLINK, node, NULL, 0), 0);
	assert_int_equal(c.length, FS_LINK_MAX);
	text[FS_LINK_MAX] = 'x';
	text[FS_LINK_MAX + 1] = 0;
	assert_int_equal(client_names(&c, FUSE_SYMLINK, c.top, NULL, 0, "m", text), ENAMETOOLONG);
	assert_int_equal(client_names(&c, FUSE_SYMLINK, c.top, NULL, 0, "m", ""), ENOENT);
}

static void link_is_the_same_node(void **state)
{
	struct fuse_link_in in;

	(void)state;
	client_put_file(client_path(&c, "f"), "x");
	in.oldnodeid = client_find(&c, c.top, "f");
	assert_int_equal(client_names(&c, FUSE_LINK, c.top, &in, sizeof in, "g", NULL), 0);
	assert_int_equal(client_entry(&c)->nodeid, in.oldnodeid);
	assert_int_equal(client_entry(&c)->attr.nlink, 2);
	assert_int_equal(client_find(&c, c.top, "g"), in.oldnodeid);
	/* A link to a symbolic link is one to the link, wherever that points. */
	assert_int_equal(client_names(&c, FUSE_SYMLINK, c.top, NULL, 0, "l", "/etc/passwd"), 0);
	in.oldnodeid = client_entry(&c)->nodeid;
	assert_int_equal(client_names(&c, FUSE_LINK, c.top, &in, sizeof in, "l2", NULL), 0);
	assert_int_equal(client_entry(&c)->attr.mode & S_IFMT, S_IFLNK);
	in.oldnodeid = FS_ROOT_ID;
	assert_int_equal(client_names(&c, FUSE_LINK, c.top, &in, sizeof in, "h", NULL), EPERM);
	in.oldnodeid = 4711;
	assert_int_equal(client_names(&c, FUSE_LINK, c.top, &in, sizeof in, "h", NULL), ESTALE);
}

static void unlink_and_rmdir_remove_their_kind(void **state)
{
	(void)state;
	client_put_file(client_path(&c, "f"), "x");
	assert_int_equal(client_mkdir(&c, c.top, "d", 0755, 0), 0);
	assert_int_equal(client_names(&c, FUSE_UNLINK, c.top, NULL, 0, "d", NULL), EISDIR);
	assert_int_equal(client_names(&c, FUSE_RMDIR, c.top, NULL, 0, "f", NULL), ENOTDIR);
	client_put_file(client_path(&c, "d/x"), "x");
	assert_int_equal(client_names(&c, FUSE_RMDIR, c.top, NULL, 0, "d", NULL), ENOTEMPTY);
	assert_int_equal(unlink(client_path(&c, "d/x")), 0);
	assert_int_equal(client_names(&c, FUSE_RMDIR, c.top, NULL, 0, "d", NULL), 0);
	assert_int_equal(client_names(&c, FUSE_UNLINK, c.top, NULL, 0, "f", NULL), 0);
	assert_int_equal(client_names(&c, FUSE_UNLINK, c.top, NULL, 0, "f", NULL), ENOENT);
}

static void unlinked_while_open_goes_on(void **state)
{
	struct fuse_entry_out entry;
	struct fuse_attr attr;
	uint64_t fh, other;

	(void)state;
	assert_int_equal(client_create(&c, c.top, "f", O_RDWR, 0644, 0, &entry, &fh), 0);
	assert_int_equal(client_names(&c, FUSE_UNLINK, c.top, NULL, 0, "f", NULL), 0);
	assert_int_equal(client_write(&c, entry.nodeid, fh, 0, "still here"), 0);
	assert_int_equal(client_getattr(&c, entry.nodeid, &attr), 0);
	assert_int_equal(attr.nlink, 0);
	assert_int_equal(attr.size, 10);
	/* Also opened anew, which nothing but the node leads to. */
	assert_int_equal(client_open(&c, entry.nodeid, O_RDONLY, &other), 0);
	assert_int_equal(client_read(&c, entry.nodeid, other, 0, 100), 0);
	assert_memory_equal(c.reply, "still here", 10);
	struct fuse_setattr_in in = { .valid = FATTR_SIZE, .size = 5 };
	assert_int_equal(client_setattr(&c, entry.nodeid, in), 0);
}

static void rename_takes_flags(void **state)
{
	struct fuse_rename_in in = { c.top };
	struct fuse_rename2_in in2 = { .newdir = c.top, .flags = 1 /* NOREPLACE */ };

	(void)state;
	client_put_file(client_path(&c, "a"), "A");
	client_put_file(client_path(&c, "b"), "B");
	uint64_t a = client_find(&c, c.top, "a");
	assert_int_equal(client_names(&c, FUSE_RENAME2, c.top, &in2, sizeof in2, "a", "b"), EEXIST);
	in2.flags = 2; /* EXCHANGE */
	assert_int_equal(client_names(&c, FUSE_RENAME2, c.top, &in2, sizeof in2, "a", "b"), 0);
	assert_string_equal(client_get_file(client_path(&c, "a")), "B");
	assert_int_equal(client_find(&c, c.top, "b"), a);
	in2.flags = 8;
	assert_int_equal(client_names(&c, FUSE_RENAME2, c.top, &in2, sizeof in2, "a", "b"), EINVAL);
	assert_int_equal(client_names(&c, FUSE_RENAME, c.top, &in, sizeof in, "b", "a"), 0);
	assert_string_equal(client_get_file(client_path(&c, "a")), "A");
	assert_null(client_get_file(client_path(&c, "b")));
	in.newdir = 99;
	assert_int_equal(client_names(&c, FUSE_RENAME, c.top, &in, sizeof in, "a", "b"), ESTALE);
	in.newdir = FS_ROOT_ID;
	assert_int_equal(client_names(&c, FUSE_RENAME, c.top, &in, sizeof in, "a", "b"), EROFS);
	in.newdir = client_find(&c, c.top, "a");
	assert_int_equal(client_names(&c, FUSE_RENAME, c.top, &in, sizeof in, "a", "b"), ENOTDIR);
}

static void names_of_255_bytes_and_any_bytes_work(void **state)
{
	char name[FS_NAME_MAX + 2];
	struct fuse_entry_out entry;

	(void)state;
	memset(name, 'n', sizeof name);
	name[FS_NAME_MAX] = 0;
	assert_int_equal(client_mkdir(&c, c.top, name, 0755, 0), 0);
	assert_int_equal(client_lookup(&c, c.top, name, &entry), 0);
	assert_int_equal(client_mkdir(&c, c.top, "\xff\xfe\x01 \n\x80", 0755, 0), 0);
	assert_int_not_equal(client_find(&c, c.top, "\xff\xfe\x01 \n\x80"), 0);
	assert_int_equal(client_mkdir(&c, c.top, "...", 0755, 0), 0);
	assert_int_equal(client_mkdir(&c, c.top, ".x", 0755, 0), 0);
	name[FS_NAME_MAX] = 'n';
	name[FS_NAME_MAX + 1] = 0;
	assert_int_equal(client_lookup(&c, c.top, name, &entry), ENAMETOOLONG);
}

/* --- files ------------------------------------------------------------------------------------------------------- */

static void create_opens_the_new_file(void **state)
{
	struct fuse_entry_out entry;
	uint64_t fh;
	struct stat st;

	(void)state;
	assert_int_equal(client_create(&c, c.top, "f", O_RDWR | O_EXCL, 0666, 022, &entry, &fh), 0);
	assert_int_equal(entry.attr.mode, S_IFREG | 0644);
	assert_int_equal(client_write(&c, entry.nodeid, fh, 0, "hello"), 0);
	assert_int_equal(client_read(&c, entry.nodeid, fh, 1, 3), 0);
	assert_int_equal(c.length, 3);
	assert_memory_equal(c.reply, "ell", 3);
	assert_int_equal(client_release(&c, entry.nodeid, fh, false), 0);
	assert_int_equal(client_release(&c, entry.nodeid, fh, false), EBADF);
	assert_int_equal(client_read(&c, entry.nodeid, fh, 0, 3), EBADF);
	assert_int_equal(stat(client_path(&c, "f"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0644);
	assert_int_equal(client_find(&c, c.top, "f"), entry.nodeid);
}

static void create_read_only_mode_is_still_writable_now(void **state)
{
	struct fuse_entry_out entry;
	uint64_t fh;

	(void)state;
	assert_int_equal(client_create(&c, c.top, "f", O_WRONLY, 0444, 0, &entry, &fh), 0);
	assert_int_equal(client_write(&c, entry.nodeid, fh, 0, "x"), 0);
	assert_int_equal(client_create(&c, c.top, "g", O_ACCMODE, 0644, 0, &entry, &fh), EINVAL);
}

static void create_where_the_host_was_faster(void **state)
{
	struct fuse_entry_out entry;
	uint64_t fh;
	unsigned before;

	(void)state;
	client_put_file(client_path(&c, "f"), "host's");
	assert_int_equal(client_create(&c, c.top, "f", O_RDWR | O_EXCL, 0644, 0, &entry, &fh), EEXIST);
	assert_int_equal(client_create(&c, c.top, "f", O_RDWR, 0600, 0, &entry, &fh), 0);
	assert_int_equal(client_read(&c, entry.nodeid, fh, 0, 6), 0);
	assert_memory_equal(c.reply, "host's", 6);
	assert_int_equal(client_create(&c, c.top, "f", O_RDWR | O_TRUNC, 0600, 0, &entry, &fh), 0);
	assert_string_equal(client_get_file(client_path(&c, "f")), "");
	/* A link, a fifo, a directory: never opened; the guest is told to look again. */
	assert_int_equal(mkfifo(client_path(&c, "p"), 0600), 0);
	assert_int_equal(symlink("f", client_path(&c, "l")), 0);
	before = client_open_files();
	assert_int_equal(client_create(&c, c.top, "p", O_RDWR, 0600, 0, &entry, &fh), ESTALE);
	assert_int_equal(client_create(&c, c.top, "l", O_RDWR, 0600, 0, &entry, &fh), ESTALE);
	assert_int_equal(client_open_files(), before);
}

static void open_only_files_are_opened(void **state)
{
	uint64_t fh;

	(void)state;
	assert_int_equal(mkfifo(client_path(&c, "p"), 0600), 0);
	assert_int_equal(symlink("f", client_path(&c, "l")), 0);
	assert_int_equal(client_open(&c, client_find(&c, c.top, "p"), O_RDONLY, &fh), ENXIO);
	assert_int_equal(client_open(&c, client_find(&c, c.top, "l"), O_RDONLY, &fh), ELOOP);
	assert_int_equal(client_open(&c, c.top, O_RDONLY, &fh), EISDIR);
	assert_int_equal(client_open(&c, FS_ROOT_ID, O_RDONLY, &fh), EISDIR);
	if (am_root() && !mknod(client_path(&c, "null"), S_IFCHR | 0666, makedev(1, 3)))
		assert_int_equal(client_open(&c, client_find(&c, c.top, "null"), O_RDONLY, &fh), ENXIO);
}

static void open_flags_that_are_ours_are_ignored(void **state)
{
	uint64_t fh;

	(void)state;
	client_put_file(client_path(&c, "f"), "text");
	uint64_t node = client_find(&c, c.top, "f");
	/* O_PATH would give a handle that reads nothing, O_DIRECTORY and O_CREAT make no sense: all dropped. */
	assert_int_equal(
		client_open(&c, node, O_RDONLY | O_PATH | O_DIRECTORY | O_CREAT | O_EXCL | O_NONBLOCK | O_DIRECT, &fh),
		0);
	assert_int_equal(client_read(&c, node, fh, 0, 10), 0);
	assert_int_equal(c.length, 4);
	assert_int_equal(client_open(&c, node, O_RDONLY | O_NOATIME, &fh), 0);
	assert_int_equal(client_open(&c, node, O_WRONLY | O_TRUNC, &fh), 0);
	assert_string_equal(client_get_file(client_path(&c, "f")), "");
	assert_int_equal(client_open(&c, node, O_ACCMODE, &fh), EINVAL);
}

static void append_goes_to_the_end_but_not_for_the_cache(void **state)
{
	uint64_t fh;

	(void)state;
	client_put_file(client_path(&c, "f"), "0123456789");
	uint64_t node = client_find(&c, c.top, "f");
	assert_int_equal(client_open(&c, node, O_WRONLY | O_APPEND, &fh), 0);
	/* The host has written, the guest's idea of the end is old. */
	assert_int_equal(client_write_flags(&c, node, fh, 3, "abc", 3, O_WRONLY | O_APPEND, 0), 0);
	assert_string_equal(client_get_file(client_path(&c, "f")), "0123456789abc");
	assert_int_equal(client_write_flags(&c, node, fh, 3, "X", 1, O_WRONLY | O_APPEND, FUSE_WRITE_CACHE), 0);
	assert_string_equal(client_get_file(client_path(&c, "f")), "012X456789abc");
}

static void read_and_write_a_mebibyte(void **state)
{
	static uint8_t data[FS_WRITE_MAX];
	struct fuse_entry_out entry;
	uint64_t fh;

	(void)state;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	assert_int_equal(client_create(&c, c.top, "f", O_RDWR, 0644, 0, &entry, &fh), 0);
	assert_int_equal(client_write_flags(&c, entry.nodeid, fh, 5, data, sizeof data, 0, 0), 0);
	assert_int_equal(client_read(&c, entry.nodeid, fh, 5, sizeof data), 0);
	assert_int_equal(c.length, sizeof data);
	assert_memory_equal(c.reply, data, sizeof data);
	/* Beyond the end, at the end, and nothing asked for. */
	assert_int_equal(client_read(&c, entry.nodeid, fh, sizeof data, 4096), 0);
	assert_int_equal(c.length, 5);
	assert_int_equal(client_read(&c, entry.nodeid, fh, 1ull << 40, 4096), 0);
	assert_int_equal(c.length, 0);
	assert_int_equal(client_read(&c, entry.nodeid, fh, 0, 0), 0);
	assert_int_equal(c.length, 0);
	assert_int_equal(client_read(&c, entry.nodeid, fh, UINT64_MAX, 4096), EINVAL);
	assert_int_equal(client_write_flags(&c, entry.nodeid, fh, UINT64_MAX, data, 10, 0, 0), EINVAL);
}

static void write_length_other_than_its_data_is_refused(void **state)
{
	struct fuse_entry_out entry;
	struct fuse_write_in in = { .size = 11 };

	(void)state;
	assert_int_equal(client_create(&c, c.top, "f", O_RDWR, 0644, 0, &entry, &in.fh), 0);
	struct client_part parts[] = { { &in, sizeof in }, { "0123456789", 10 } };
	assert_int_equal(client_call_parts(&c, FUSE_WRITE, entry.nodeid, parts, 2, 64), EINVAL);
	in.size = 9;
	assert_int_equal(client_call_parts(&c, FUSE_WRITE, entry.nodeid, parts, 2, 64), EINVAL);
	in.size = 10;
	assert_int_equal(client_call_parts(&c, FUSE_WRITE, entry.nodeid, parts, 2, 64), 0);
}

static void handles_are_good_for_their_node_and_kind_only(void **state)
{
	struct fuse_entry_out a, b;
	uint64_t fa, fb;
	struct fuse_read_in in;

	(void)state;
	assert_int_equal(client_create(&c, c.top, "a", O_RDWR, 0644, 0, &a, &fa), 0);
	assert_int_equal(client_create(&c, c.top, "b", O_RDWR, 0644, 0, &b, &fb), 0);
	assert_int_equal(client_read(&c, a.nodeid, fb, 0, 10), EBADF);
	assert_int_equal(client_write(&c, b.nodeid, fa, 0, "x"), EBADF);
	assert_int_equal(client_release(&c, b.nodeid, fa, false), EBADF);
	assert_int_equal(client_release(&c, c.top, fa, true), EBADF);
	in = (struct fuse_read_in){ .fh = fa, .size = 4096 };
	assert_int_equal(client_call(&c, FUSE_READDIR, c.top, &in, sizeof in), EBADF);
	struct fuse_setattr_in size = { .valid = FATTR_SIZE | FATTR_FH, .fh = fb, .size = 3 };
	assert_int_equal(client_setattr(&c, a.nodeid, size), EBADF);
}

static void flush_fsync_and_syncfs_work(void **state)
{
	struct fuse_entry_out entry;
	uint64_t fh;

	(void)state;
	assert_int_equal(client_create(&c, c.top, "f", O_RDWR, 0644, 0, &entry, &fh), 0);
	unsigned before = client_open_files();
	struct fuse_flush_in flush = { .fh = fh };
	assert_int_equal(client_call(&c, FUSE_FLUSH, entry.nodeid, &flush, sizeof flush), 0);
	struct fuse_fsync_in sync = { .fh = fh };
	assert_int_equal(client_call(&c, FUSE_FSYNC, entry.nodeid, &sync, sizeof sync), 0);
	sync.fsync_flags = FUSE_FSYNC_FDATASYNC;
	assert_int_equal(client_call(&c, FUSE_FSYNC, entry.nodeid, &sync, sizeof sync), 0);
	struct fuse_syncfs_in all = { 0 };
	client_add_share(&c, "file", client_path(&c, "f"), false);
	assert_int_equal(client_call(&c, FUSE_SYNCFS, FS_ROOT_ID, &all, sizeof all), 0);
	before++;
	assert_int_equal(client_call(&c, FUSE_SYNCFS, c.top, &all, sizeof all), 0);
	assert_int_equal(client_open_files(), before);
	flush.fh = sync.fh = 77;
	assert_int_equal(client_call(&c, FUSE_FLUSH, entry.nodeid, &flush, sizeof flush), EBADF);
	assert_int_equal(client_call(&c, FUSE_FSYNC, entry.nodeid, &sync, sizeof sync), EBADF);
}

static void holes_are_found_and_made(void **state)
{
	struct fuse_entry_out entry;
	struct fuse_lseek_in seek = { .offset = 0, .whence = SEEK_HOLE };
	struct fuse_fallocate_in in = { .length = 1 << 20 };
	struct stat st;

	(void)state;
	assert_int_equal(client_create(&c, c.top, "f", O_RDWR, 0644, 0, &entry, &in.fh), 0);
	seek.fh = in.fh;
	int error = client_call(&c, FUSE_FALLOCATE, entry.nodeid, &in, sizeof in);
	if (error == EOPNOTSUPP)
		skip();
	assert_int_equal(error, 0);
	assert_int_equal(stat(client_path(&c, "f"), &st), 0);
	assert_int_equal(st.st_size, 1 << 20);
	in.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	assert_int_equal(client_call(&c, FUSE_FALLOCATE, entry.nodeid, &in, sizeof in), 0);
	assert_int_equal(client_write(&c, entry.nodeid, in.fh, 65536, "data"), 0);
	seek.whence = SEEK_DATA;
	assert_int_equal(client_call(&c, FUSE_LSEEK, entry.nodeid, &seek, sizeof seek), 0);
	assert_int_equal(((struct fuse_lseek_out *)(void *)c.reply)->offset, 65536);
	seek.whence = SEEK_HOLE;
	assert_int_equal(client_call(&c, FUSE_LSEEK, entry.nodeid, &seek, sizeof seek), 0);
	assert_int_equal(((struct fuse_lseek_out *)(void *)c.reply)->offset, 0);
	seek.whence = SEEK_SET;
	assert_int_equal(client_call(&c, FUSE_LSEEK, entry.nodeid, &seek, sizeof seek), EINVAL);
	in.mode = FALLOC_FL_COLLAPSE_RANGE;
	assert_int_equal(client_call(&c, FUSE_FALLOCATE, entry.nodeid, &in, sizeof in), EOPNOTSUPP);
	in.mode = 0;
	in.length = UINT64_MAX;
	assert_int_equal(client_call(&c, FUSE_FALLOCATE, entry.nodeid, &in, sizeof in), EFBIG);
}

static void copy_file_range_copies(void **state)
{
	struct fuse_entry_out a, b;
	struct fuse_copy_file_range_in in = { .off_in = 2, .off_out = 1, .len = 5 };

	(void)state;
	assert_int_equal(client_create(&c, c.top, "a", O_RDWR, 0644, 0, &a, &in.fh_in), 0);
	assert_int_equal(client_create(&c, c.top, "b", O_RDWR, 0644, 0, &b, &in.fh_out), 0);
	assert_int_equal(client_write(&c, a.nodeid, in.fh_in, 0, "0123456789"), 0);
	assert_int_equal(client_write(&c, b.nodeid, in.fh_out, 0, "abcdefghij"), 0);
	in.nodeid_out = b.nodeid;
	assert_int_equal(client_call(&c, FUSE_COPY_FILE_RANGE, a.nodeid, &in, sizeof in), 0);
	assert_int_equal(((struct fuse_write_out *)(void *)c.reply)->size, 5);
	assert_string_equal(client_get_file(client_path(&c, "b")), "a23456ghij");
	in.flags = 1;
	assert_int_equal(client_call(&c, FUSE_COPY_FILE_RANGE, a.nodeid, &in, sizeof in), EINVAL);
	in.flags = 0;
	in.nodeid_out = 1234;
	assert_int_equal(client_call(&c, FUSE_COPY_FILE_RANGE, a.nodeid, &in, sizeof in), EBADF);
}

static void tmpfile_has_no_name_until_linked(void **state)
{
	struct fuse_create_in in = { .flags = O_RDWR, .mode = 0600 };
	struct client_part parts[] = { { &in, sizeof in }, { "/", 2 } };
	struct fuse_entry_out entry;
	struct fuse_link_in link;

	(void)state;
	int error = client_call_parts(&c, FUSE_TMPFILE, c.top, parts, 2, 8192);
	if (error == EOPNOTSUPP)
		skip();
	assert_int_equal(error, 0);
	memcpy(&entry, c.reply, sizeof entry);
	uint64_t fh = ((struct fuse_open_out *)(void *)(c.reply + sizeof entry))->fh;
	assert_int_equal(entry.attr.nlink, 0);
	assert_int_equal(client_write(&c, entry.nodeid, fh, 0, "now"), 0);
	link.oldnodeid = entry.nodeid;
	assert_int_equal(client_names(&c, FUSE_LINK, c.top, &link, sizeof link, "named", NULL), 0);
	assert_string_equal(client_get_file(client_path(&c, "named")), "now");
	in.flags = O_RDONLY;
	assert_int_equal(client_call_parts(&c, FUSE_TMPFILE, c.top, parts, 2, 8192), EINVAL);
}

/* --- attributes -------------------------------------------------------------------------------------------------- */

static void setattr_sets_each_of_them(void **state)
{
	struct fuse_attr attr;
	struct stat st;

	(void)state;
	client_put_file(client_path(&c, "f"), "0123456789");
	uint64_t node = client_find(&c, c.top, "f");
	assert_int_equal(client_setattr(&c, node, (struct fuse_setattr_in){ .valid = FATTR_MODE, .mode = 0106755 }), 0);
	assert_int_equal(client_getattr(&c, node, &attr), 0);
	assert_int_equal(attr.mode, S_IFREG | 06755);
	assert_int_equal(client_setattr(&c, node, (struct fuse_setattr_in){ .valid = FATTR_SIZE, .size = 4 }), 0);
	assert_string_equal(client_get_file(client_path(&c, "f")), "0123");
	assert_int_equal(client_setattr(&c, node,
					(struct fuse_setattr_in){ .valid = FATTR_ATIME | FATTR_MTIME,
								  .atime = 1000,
								  .atimensec = 1,
								  .mtime = (uint64_t)-5,
								  .mtimensec = 2 }),
			 0);
	assert_int_equal(stat(client_path(&c, "f"), &st), 0);
	assert_int_equal(st.st_atim.tv_sec, 1000);
	assert_int_equal(st.st_atim.tv_nsec, 1);
	assert_int_equal(st.st_mtim.tv_sec, -5);
	assert_int_equal(st.st_mtim.tv_nsec, 2);
	assert_int_equal(client_setattr(&c, node, (struct fuse_setattr_in){ .valid = FATTR_MTIME | FATTR_MTIME_NOW }),
			 0);
	assert_int_equal(stat(client_path(&c, "f"), &st), 0);
	assert_int_equal(st.st_atim.tv_sec, 1000);
	assert_true(st.st_mtim.tv_sec > 1000000000);
	/* A link's own times, not those of what it points to. */
	assert_int_equal(symlink("f", client_path(&c, "l")), 0);
	uint64_t link = client_find(&c, c.top, "l");
	assert_int_equal(client_setattr(&c, link, (struct fuse_setattr_in){ .valid = FATTR_MTIME, .mtime = 77 }), 0);
	assert_int_equal(lstat(client_path(&c, "l"), &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, 77);
	assert_int_equal(client_setattr(&c, link, (struct fuse_setattr_in){ .valid = FATTR_MODE, .mode = 0777 }),
			 EOPNOTSUPP);
}

static void setattr_bad_values_are_refused(void **state)
{
	(void)state;
	client_put_file(client_path(&c, "f"), "0123456789");
	uint64_t node = client_find(&c, c.top, "f");
	const struct {
		struct fuse_setattr_in in;
		int error;
	} cases[] = {
		{ { .valid = 1u << 20 }, EINVAL },
		{ { .valid = FATTR_SIZE, .size = UINT64_MAX }, EFBIG },
		{ { .valid = FATTR_UID, .uid = UINT32_MAX }, EINVAL },
		{ { .valid = FATTR_GID, .gid = UINT32_MAX }, EINVAL },
		{ { .valid = FATTR_MTIME, .mtimensec = 1000000000 }, EINVAL },
		{ { .valid = FATTR_ATIME, .atimensec = UTIME_NOW }, EINVAL },
		{ { .valid = FATTR_ATIME, .atimensec = UTIME_OMIT }, EINVAL },
		{ { .valid = FATTR_SIZE | FATTR_FH, .fh = 9, .size = 1 }, EBADF },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(client_setattr(&c, node, cases[i].in), cases[i].error);
	assert_int_equal(client_setattr(&c, c.top, (struct fuse_setattr_in){ .valid = FATTR_SIZE }), EISDIR);
	assert_int_equal(client_setattr(&c, FS_ROOT_ID, (struct fuse_setattr_in){ .valid = FATTR_MODE }), EROFS);
	assert_string_equal(client_get_file(client_path(&c, "f")), "0123456789");
}

static void statx_has_the_birth_time(void **state)
{
	struct fs_statx_in in = { .sx_mask = STATX_BASIC_STATS | STATX_BTIME };
	struct fs_statx_out *out = (void *)c.reply;
	struct statx st;

	(void)state;
	client_put_file(client_path(&c, "f"), "0123456789");
	assert_int_equal(statx(AT_FDCWD, client_path(&c, "f"), 0, STATX_BASIC_STATS | STATX_BTIME, &st), 0);
	assert_int_equal(client_call(&c, FS_FUSE_STATX, client_find(&c, c.top, "f"), &in, sizeof in), 0);
	assert_int_equal(c.length, sizeof *out);
	assert_int_equal(out->stat.size, 10);
	assert_int_equal(out->stat.mask & STATX_BTIME, st.stx_mask & STATX_BTIME);
	assert_int_equal(out->stat.btime.seconds, st.stx_btime.tv_sec);
	assert_int_equal(client_call(&c, FS_FUSE_STATX, FS_ROOT_ID, &in, sizeof in), 0);
	assert_int_equal(out->stat.mode, S_IFDIR | 0555);
}

static void statfs_is_the_hosts(void **state)
{
	struct fuse_statfs_out *out = (void *)c.reply;

	(void)state;
	assert_int_equal(client_call(&c, FUSE_STATFS, c.top, NULL, 0), 0);
	assert_true(out->st.blocks > 0 && out->st.namelen >= 255);
	assert_int_equal(client_call(&c, FUSE_STATFS, FS_ROOT_ID, NULL, 0), 0);
	assert_int_equal(out->st.namelen, 255);
}

/* --- ownership --------------------------------------------------------------------------------------------------- */

static void created_files_belong_to_who_asks(void **state)
{
	struct fuse_entry_out entry;
	uint64_t fh;
	struct stat st;

	(void)state;
	if (!am_root())
		skip();
	c.uid = 1234;
	c.gid = 5678;
	assert_int_equal(client_create(&c, c.top, "f", O_RDWR, 0600, 0, &entry, &fh), 0);
	assert_int_equal(entry.attr.uid, 1234);
	assert_int_equal(entry.attr.gid, 5678);
	assert_int_equal(client_mkdir(&c, c.top, "d", 0700, 0), 0);
	assert_int_equal(client_entry(&c)->attr.uid, 1234);
	assert_int_equal(client_names(&c, FUSE_SYMLINK, c.top, NULL, 0, "l", "x"), 0);
	assert_int_equal(client_entry(&c)->attr.gid, 5678);
	/* Acting in another name takes nothing away: root's files can still be read, changed and removed. */
	c.uid = c.gid = 0;
	assert_int_equal(client_create(&c, c.top, "g", O_RDWR, 0600, 0, &entry, &fh), 0);
	assert_int_equal(entry.attr.uid, 0);
	c.uid = c.gid = 1234;
	assert_int_equal(client_mkdir(&c, c.top, "e", 0700, 0), 0);
	assert_int_equal(client_open(&c, entry.nodeid, O_RDWR, &fh), 0);
	assert_int_equal(client_setattr(&c, entry.nodeid, (struct fuse_setattr_in){ .valid = FATTR_UID, .uid = 7 }), 0);
	assert_int_equal(stat(client_path(&c, "g"), &st), 0);
	assert_int_equal(st.st_uid, 7);
	/* An id that does not exist. */
	c.uid = UINT32_MAX;
	assert_int_equal(client_mkdir(&c, c.top, "x", 0700, 0), EPERM);
}

static void setgid_directory_gives_its_group(void **state)
{
	struct fuse_entry_out entry;
	uint64_t fh;

	(void)state;
	if (!am_root())
		skip();
	assert_int_equal(mkdir(client_path(&c, "d"), 0777), 0);
	assert_int_equal(chown(client_path(&c, "d"), 0, 4321), 0);
	assert_int_equal(chmod(client_path(&c, "d"), 02777), 0);
	uint64_t dir = client_find(&c, c.top, "d");
	c.uid = c.gid = 1000;
	assert_int_equal(client_create(&c, dir, "f", O_RDWR, 0644, 0, &entry, &fh), 0);
	assert_int_equal(entry.attr.gid, 4321);
	assert_int_equal(client_mkdir(&c, dir, "e", 0755, 0), 0);
	assert_int_equal(client_entry(&c)->attr.gid, 4321);
	assert_int_equal(client_entry(&c)->attr.mode, S_IFDIR | 02755);
}

static void setuid_bits_go_when_the_guest_says(void **state)
{
	struct fuse_attr attr;
	uint64_t fh;

	(void)state;
	if (!am_root())
		skip();
	client_put_file(client_path(&c, "f"), "0123456789");
	uint64_t node = client_find(&c, c.top, "f");
	assert_int_equal(client_open(&c, node, O_RDWR, &fh), 0);
	for (unsigned round = 0; round < 4; round++) {
		bool kill = round & 1;
		struct fuse_setattr_in size = { .valid = FATTR_SIZE | (kill ? FATTR_KILL_SUIDGID : 0),
						.size = 5 + round };
		struct fuse_open_in trunc = { O_WRONLY | O_TRUNC, kill ? FUSE_OPEN_KILL_SUIDGID : 0 };
		mode_t expected = kill ? S_IFREG | 0755 : S_IFREG | 06755;

		assert_int_equal(chmod(client_path(&c, "f"), 06755), 0);
		assert_int_equal(client_write_flags(&c, node, fh, 0, "x", 1, 0, kill ? FUSE_WRITE_KILL_SUIDGID : 0), 0);
		assert_int_equal(client_getattr(&c, node, &attr), 0);
		assert_int_equal(attr.mode, expected);
		assert_int_equal(chmod(client_path(&c, "f"), 06755), 0);
		assert_int_equal(client_setattr(&c, node, size), 0);
		assert_int_equal(client_getattr(&c, node, &attr), 0);
		assert_int_equal(attr.mode, expected);
		assert_int_equal(chmod(client_path(&c, "f"), 06755), 0);
		assert_int_equal(client_call(&c, FUSE_OPEN, node, &trunc, sizeof trunc), 0);
		assert_int_equal(client_getattr(&c, node, &attr), 0);
		assert_int_equal(attr.mode, expected);
	}
	/* What chown(-1, -1) leaves over. */
	assert_int_equal(chmod(client_path(&c, "f"), 06755), 0);
	assert_int_equal(client_setattr(&c, node, (struct fuse_setattr_in){ .valid = 0 }), 0);
	assert_int_equal(client_getattr(&c, node, &attr), 0);
	assert_int_equal(attr.mode, S_IFREG | 0755);
	/* A change of owner always takes them, and a set-gid bit set on purpose stays, also after such a write. */
	assert_int_equal(client_setattr(&c, node, (struct fuse_setattr_in){ .valid = FATTR_MODE, .mode = 06755 }), 0);
	assert_int_equal(client_getattr(&c, node, &attr), 0);
	assert_int_equal(attr.mode, S_IFREG | 06755);
	assert_int_equal(
		client_setattr(&c, node, (struct fuse_setattr_in){ .valid = FATTR_UID | FATTR_KILL_SUIDGID, .uid = 5 }),
		0);
	assert_int_equal(client_getattr(&c, node, &attr), 0);
	assert_int_equal(attr.mode, S_IFREG | 0755);
}

/* --- directories ------------------------------------------------------------------------------------------------- */

static uint64_t open_directory(uint64_t node)
{
	struct fuse_open_in in = { 0 };

	assert_int_equal(client_call(&c, FUSE_OPENDIR, node, &in, sizeof in), 0);
	return ((struct fuse_open_out *)(void *)c.reply)->fh;
}

/* Reads on at `*offset`; counts the entries, adds their names' hashes, and the plus entries' node ids to `nodes`. */
static unsigned read_some(uint64_t node, uint64_t fh, uint64_t *offset, uint32_t size, bool plus, uint64_t *sum,
			  uint64_t *nodes)
{
	struct fuse_read_in in = { .fh = fh, .offset = *offset, .size = size };
	unsigned count = 0;

	assert_int_equal(client_call_parts(&c, plus ? FUSE_READDIRPLUS : FUSE_READDIR, node,
					   &(struct client_part){ &in, sizeof in }, 1, size),
			 0);
	for (size_t at = 0; at < c.length; count++) {
		struct fuse_entry_out entry = { 0 };
		struct fuse_dirent dirent;
		size_t head = plus ? sizeof entry : 0;

		assert_true(c.length - at >= head + FUSE_NAME_OFFSET);
		memcpy(&entry, c.reply + at, head);
		memcpy(&dirent, c.reply + at + head, FUSE_NAME_OFFSET);
		assert_true(dirent.namelen >= 1 && dirent.namelen <= 255);
		const char *name = (char *)c.reply + at + head + FUSE_NAME_OFFSET;
		at += FUSE_REC_ALIGN(head + FUSE_NAME_OFFSET + dirent.namelen);
		assert_true(at <= c.length);
		for (size_t i = 0; i < dirent.namelen; i++)
			*sum += (uint64_t)(uint8_t)name[i] << (i % 7);
		*offset = dirent.off;
		bool dot = name[0] == '.';
		if (plus)
			assert_int_equal(entry.nodeid == 0, dot);
		if (entry.nodeid) {
			assert_int_equal(entry.attr.mode >> 12, dirent.type);
			++*nodes;
		}
	}
	return count;
}

static void readdir_finds_each_entry_once(void **state)
{
	uint64_t expected = 3 * (uint64_t)'.' + ((uint64_t)'.' << 1) - '.';

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		char name[64];

		snprintf(name, sizeof name, "file-%0*u", (int)(i % 40) + 1, i);
		client_put_file(client_path(&c, "%s", name), "");
		for (size_t k = 0; name[k]; k++)
			expected += (uint64_t)name[k] << (k % 7);
	}
	uint64_t fh = open_directory(c.top);
	for (unsigned round = 0; round < 6; round++) {
		uint32_t size = round < 2 ? 512 : round < 4 ? 4096 : 65536;
		uint64_t offset = 0, sum = 0, nodes = 0;
		unsigned total = 0, got;

		while ((got = read_some(c.top, fh, &offset, size, round & 1, &sum, &nodes)))
			total += got;
		assert_int_equal(total, 302);
		assert_int_equal(sum, expected);
		if (round & 1)
			assert_int_equal(nodes, 300);
	}
	/* What READDIRPLUS found counts as looked up: each of the three times. */
	uint64_t one = client_find(&c, c.top, "file-0");
	struct fuse_attr attr;
	client_forget(&c, one, 3);
	assert_int_equal(client_getattr(&c, one, &attr), 0);
	client_forget(&c, one, 1);
	assert_int_equal(client_getattr(&c, one, &attr), ESTALE);
	assert_int_equal(client_release(&c, c.top, fh, true), 0);
}

static void readdir_any_offset_gives_the_rest(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 50; i++)
		client_put_file(client_path(&c, "f%u", i), "");
	uint64_t fh = open_directory(c.top), offsets[100], sums[100], offset = 0, sum = 0, nodes = 0;
	unsigned steps = 0;

	do {
		offsets[steps] = offset;
		sums[steps++] = sum;
	} while (read_some(c.top, fh, &offset, 300, false, &sum, &nodes));
	/* Each place again, backwards. */
	for (unsigned i = steps; i-- > 0;) {
		uint64_t rest = 0;

		offset = offsets[i];
		while (read_some(c.top, fh, &offset, 4096, false, &rest, &nodes))
			;
		assert_int_equal(sums[i] + rest, sum);
	}
}

/* What one thread has listed ahead is of one directory, and is not mistaken for another's, nor for another place. */
static void readdir_of_two_at_a_time(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 60; i++)
		client_put_file(client_path(&c, "f%u", i), "");
	uint64_t fh[2] = { open_directory(c.top), open_directory(c.top) }, offset[2] = { 0 }, sum[2] = { 0 }, nodes = 0;
	unsigned total[2] = { 0 }, got[2], rounds = 0;

	do {
		for (unsigned i = 0; i < 2; i++) {
			got[i] = read_some(c.top, fh[i], &offset[i], i ? 1000 : 700, true, &sum[i], &nodes);
			total[i] += got[i];
		}
		/* One of the two begins once more, in the middle. */
		if (++rounds == 3)
			total[1] = 0, offset[1] = 0, sum[1] = 0;
	} while (got[0] || got[1]);
	assert_int_equal(total[0], 62);
	assert_int_equal(total[1], 62);
	assert_int_equal(sum[0], sum[1]);
}

static void readdir_too_little_room_is_an_error_not_the_end(void **state)
{
	struct fuse_read_in in = { .fh = open_directory(c.top), .size = 64 };

	(void)state;
	assert_int_equal(client_call(&c, FUSE_READDIR, c.top, &in, sizeof in), EINVAL);
	in.size = 300;
	assert_int_equal(client_call(&c, FUSE_READDIRPLUS, c.top, &in, sizeof in), EINVAL);
}

static void readdir_of_the_root_lists_shares(void **state)
{
	struct err err = ERR_INIT;
	uint64_t offset = 0, sum = 0, nodes = 0;

	(void)state;
	client_put_file(client_path(&c, "resolv.conf"), "nameserver ::1\n");
	client_add_share(&c, "m0", client_path(&c, "resolv.conf"), true);
	client_add_share(&c, "m1", c.outside, true);
	assert_int_equal(fs_shares_remove(&c.server->shares, "m0", &err), 0);
	client_add_share(&c, "m2", c.outside, true);
	client_add_share(&c, "m3", client_path(&c, "resolv.conf"), true);
	uint64_t fh = open_directory(FS_ROOT_ID);
	unsigned total = 0, got;
	while ((got = read_some(FS_ROOT_ID, fh, &offset, 200, true, &sum, &nodes)))
		total += got;
	assert_int_equal(total, 6); /* . .. s m2 m1 m3 */
	assert_int_equal(nodes, 4);
	offset = 1ull << 60;
	assert_int_equal(read_some(FS_ROOT_ID, fh, &offset, 4096, false, &sum, &nodes), 0);
	struct fuse_fsync_in sync = { .fh = fh };
	assert_int_equal(client_call(&c, FUSE_FSYNCDIR, FS_ROOT_ID, &sync, sizeof sync), 0);
	assert_int_equal(client_release(&c, FS_ROOT_ID, fh, true), 0);
}

static void share_of_a_file_is_that_file(void **state)
{
	struct fuse_entry_out entry;
	struct fuse_attr attr;
	struct err err = ERR_INIT;
	uint64_t fh;

	(void)state;
	client_put_file(client_path(&c, "hosts"), "127.0.0.1 x\n");
	client_add_share(&c, "m0", client_path(&c, "hosts"), false);
	assert_int_equal(client_lookup(&c, FS_ROOT_ID, "m0", &entry), 0);
	assert_int_equal(entry.attr.mode & S_IFMT, S_IFREG);
	assert_int_equal(entry.attr.flags, 0); /* only directories can be mounts in the guest */
	assert_int_equal(client_open(&c, entry.nodeid, O_RDWR, &fh), 0);
	/* Removed: not to be found any more, and what is open goes on. */
	assert_int_equal(fs_shares_remove(&c.server->shares, "m0", &err), 0);
	assert_int_equal(client_read(&c, entry.nodeid, fh, 0, 9), 0);
	assert_memory_equal(c.reply, "127.0.0.1", 9);
	assert_int_equal(client_getattr(&c, entry.nodeid, &attr), 0);
	struct fuse_entry_out gone;
	assert_int_equal(client_lookup(&c, FS_ROOT_ID, "m0", &gone), ENOENT);
	assert_int_equal(client_lookup(&c, entry.nodeid, "x", &gone), ENOTDIR);
}

/* --- extended attributes ----------------------------------------------------------------------------------------- */

static int set_attribute(uint64_t node, const char *name, const void *value, size_t size, uint32_t flags)
{
	struct fuse_setxattr_in in = { .size = (uint32_t)size, .flags = flags };
	struct client_part parts[] = { { &in, sizeof in }, { name, strlen(name) + 1 }, { value, size } };

	return client_call_parts(&c, FUSE_SETXATTR, node, parts, 3, 0);
}

static int get_attribute(uint64_t node, const char *name, uint32_t size)
{
	struct fuse_getxattr_in in = { .size = size };
	struct client_part parts[] = { { &in, sizeof in }, { name, strlen(name) + 1 } };

	return client_call_parts(&c, FUSE_GETXATTR, node, parts, 2, size ? size : 8);
}

static void xattrs_are_kept_by_name_space(void **state)
{
	struct fuse_getxattr_in list = { .size = 4096 };

	(void)state;
	client_put_file(client_path(&c, "f"), "");
	uint64_t node = client_find(&c, c.top, "f");
	int error = set_attribute(node, "user.colour", "green", 5, 0);
	if (error == EOPNOTSUPP)
		skip(); /* such a /tmp */
	assert_int_equal(error, 0);
	assert_int_equal(set_attribute(node, "user.colour", "red", 3, XATTR_CREATE), EEXIST);
	assert_int_equal(set_attribute(node, "user.none", "red", 3, XATTR_REPLACE), ENODATA);
	assert_int_equal(set_attribute(node, "user.empty", "", 0, 0), 0);
	assert_int_equal(get_attribute(node, "user.colour", 0), 0);
	assert_int_equal(((struct fuse_getxattr_out *)(void *)c.reply)->size, 5);
	assert_int_equal(get_attribute(node, "user.colour", 4), ERANGE);
	assert_int_equal(get_attribute(node, "user.colour", 100), 0);
	assert_int_equal(c.length, 5);
	assert_memory_equal(c.reply, "green", 5);
	assert_int_equal(get_attribute(node, "user.missing", 100), ENODATA);

	assert_int_equal(get_attribute(node, "trusted.overlay.opaque", 100), ENODATA);
	assert_int_equal(set_attribute(node, "trusted.overlay.redirect", "/etc", 4, 0), EPERM);
	assert_int_equal(set_attribute(node, "security.selinux", "x", 1, 0), EOPNOTSUPP);
	assert_int_equal(get_attribute(node, "security.selinux", 100), EOPNOTSUPP);
	assert_int_equal(set_attribute(node, "system.nfs4_acl", "x", 1, 0), EOPNOTSUPP);
	assert_int_equal(set_attribute(node, "nonsense", "x", 1, 0), EOPNOTSUPP);
	assert_int_equal(set_attribute(node, "user.flags", "x", 1, 64), EINVAL);

	if (am_root())
		setxattr(client_path(&c, "f"), "trusted.hidden", "x", 1, 0);
	assert_int_equal(client_call(&c, FUSE_LISTXATTR, node, &list, sizeof list), 0);
	assert_int_equal(c.length, sizeof "user.colour" + sizeof "user.empty");
	list.size = 5;
	assert_int_equal(client_call(&c, FUSE_LISTXATTR, node, &list, sizeof list), ERANGE);
	list.size = 0;
	assert_int_equal(client_call(&c, FUSE_LISTXATTR, node, &list, sizeof list), 0);
	assert_int_equal(((struct fuse_getxattr_out *)(void *)c.reply)->size,
			 sizeof "user.colour" + sizeof "user.empty");

	assert_int_equal(client_names(&c, FUSE_REMOVEXATTR, node, NULL, 0, "user.colour", NULL), 0);
	assert_int_equal(client_names(&c, FUSE_REMOVEXATTR, node, NULL, 0, "user.colour", NULL), ENODATA);
	assert_int_equal(client_names(&c, FUSE_REMOVEXATTR, node, NULL, 0, "trusted.hidden", NULL), EPERM);
	assert_int_equal(get_attribute(FS_ROOT_ID, "user.colour", 100), ENODATA);
	list.size = 100;
	assert_int_equal(client_call(&c, FUSE_LISTXATTR, FS_ROOT_ID, &list, sizeof list), 0);
	assert_int_equal(c.length, 0);
}

static void xattrs_of_a_link_are_not_its_targets(void **state)
{
	(void)state;
	client_put_file(client_path(&c, "f"), "");
	if (setxattr(client_path(&c, "f"), "user.x", "y", 1, 0))
		skip();
	assert_int_equal(symlink("f", client_path(&c, "l")), 0);
	uint64_t node = client_find(&c, c.top, "l");
	assert_int_not_equal(get_attribute(node, "user.x", 10), 0);
	assert_int_not_equal(set_attribute(node, "user.z", "y", 1, 0), 0);
	assert_int_equal(getxattr(client_path(&c, "f"), "user.z", NULL, 0), -1);
}

static void xattr_size_other_than_its_value_is_refused(void **state)
{
	struct fuse_setxattr_in in = { .size = 100 };
	struct client_part parts[] = { { &in, sizeof in }, { "user.x", 7 }, { "value", 5 } };

	(void)state;
	assert_int_equal(client_call_parts(&c, FUSE_SETXATTR, c.top, parts, 3, 0), EINVAL);
	in.size = 4;
	assert_int_equal(client_call_parts(&c, FUSE_SETXATTR, c.top, parts, 3, 0), EINVAL);
	in.size = UINT32_MAX;
	assert_int_equal(client_call_parts(&c, FUSE_SETXATTR, c.top, parts, 3, 0), EINVAL);
}

/* --- what is refused --------------------------------------------------------------------------------------------- */

static void read_only_share_takes_no_change(void **state)
{
	struct fuse_entry_out entry;
	uint64_t fh;

	(void)state;
	char path[128];
	snprintf(path, sizeof path, "%s/f", c.outside);
	client_put_file(path, "text");
	client_add_share(&c, "ro", c.outside, true);
	uint64_t top = client_find(&c, FS_ROOT_ID, "ro"), node = client_find(&c, top, "f");
	struct fuse_rename_in to_rw = { c.top }, to_ro = { top };
	struct fuse_link_in link = { node };

	assert_int_equal(client_create(&c, top, "x", O_RDWR, 0644, 0, &entry, &fh), EROFS);
	assert_int_equal(client_mkdir(&c, top, "x", 0755, 0), EROFS);
	assert_int_equal(client_names(&c, FUSE_UNLINK, top, NULL, 0, "f", NULL), EROFS);
	assert_int_equal(client_names(&c, FUSE_SYMLINK, top, NULL, 0, "x", "y"), EROFS);
	assert_int_equal(client_names(&c, FUSE_RENAME, top, &to_rw, sizeof to_rw, "f", "x"), EROFS);
	assert_int_equal(client_open(&c, node, O_RDWR, &fh), EROFS);
	assert_int_equal(client_open(&c, node, O_RDONLY | O_TRUNC, &fh), EROFS);
	assert_int_equal(client_setattr(&c, node, (struct fuse_setattr_in){ .valid = FATTR_MODE, .mode = 0777 }),
			 EROFS);
	assert_int_equal(set_attribute(node, "user.x", "y", 1, 0), EROFS);
	assert_int_equal(client_open(&c, node, O_RDONLY, &fh), 0);
	assert_int_equal(client_write(&c, node, fh, 0, "x"), EBADF);
	struct fuse_fallocate_in hole = { .fh = fh, .length = 2, .mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE };
	assert_int_equal(client_call(&c, FUSE_FALLOCATE, node, &hole, sizeof hole), EBADF);
	assert_int_equal(client_read(&c, node, fh, 0, 10), 0);
	/* Nor by way of the other share, though both are of one file system here. */
	client_put_file(client_path(&c, "g"), "");
	assert_int_equal(client_names(&c, FUSE_RENAME, c.top, &to_ro, sizeof to_ro, "g", "g"), EXDEV);
	assert_int_equal(client_names(&c, FUSE_LINK, c.top, &link, sizeof link, "h", NULL), EXDEV);
	assert_string_equal(client_get_file(path), "text");
}

static void root_takes_no_change(void **state)
{
	struct fuse_entry_out entry;
	struct fuse_rename_in in = { FS_ROOT_ID };
	uint64_t fh;

	(void)state;
	assert_int_equal(client_create(&c, FS_ROOT_ID, "x", O_RDWR, 0644, 0, &entry, &fh), EROFS);
	assert_int_equal(client_mkdir(&c, FS_ROOT_ID, "x", 0755, 0), EROFS);
	assert_int_equal(client_names(&c, FUSE_RMDIR, FS_ROOT_ID, NULL, 0, "s", NULL), EROFS);
	assert_int_equal(client_names(&c, FUSE_RENAME, FS_ROOT_ID, &in, sizeof in, "s", "t"), EROFS);
	assert_int_equal(client_names(&c, FUSE_SYMLINK, FS_ROOT_ID, NULL, 0, "x", "y"), EROFS);
	assert_int_equal(client_call(&c, FUSE_READLINK, FS_ROOT_ID, NULL, 0), EISDIR);
}

static void unsupported_operations_say_so(void **state)
{
	static const struct {
		uint32_t opcode;
		int error;
	} cases[] = {
		{ FUSE_ACCESS, ENOSYS },
		{ FUSE_GETLK, ENOSYS },
		{ FUSE_SETLKW, ENOSYS },
		{ FUSE_BMAP, ENOSYS },
		{ FUSE_POLL, ENOSYS },
		{ FUSE_IOCTL, ENOTTY },
		{ FUSE_SETUPMAPPING, ENOSYS },
		{ 0, ENOSYS },
		{ 7, ENOSYS },
		{ 19, ENOSYS },
		{ 53, ENOSYS },
		{ CUSE_INIT, ENOSYS },
		{ UINT32_MAX, ENOSYS },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(client_call(&c, cases[i].opcode, c.top, NULL, 0), cases[i].error);
}

static void limits_give_enfile_and_hurt_nothing(void **state)
{
	struct fuse_entry_out entry;
	uint64_t fh[64], first = 0;
	unsigned i;

	(void)state;
	client_stop(&c);
	client_start_limited(&c, (struct fs_limits){ .nodes = 20, .handles = 8 });
	for (i = 0; i < 30; i++)
		client_put_file(client_path(&c, "f%u", i), "");
	unsigned before = client_open_files();
	for (i = 0; i < 18; i++) {
		char name[8];

		snprintf(name, sizeof name, "f%u", i);
		uint64_t node = client_find(&c, c.top, name);
		first = first ? first : node;
	}
	assert_int_equal(client_lookup(&c, c.top, "f20", &entry), ENFILE);
	assert_int_equal(client_lookup(&c, c.top, "f0", &entry), 0); /* known ones still */
	assert_int_equal(client_open_files(), before + 18);
	/* Nothing is made that could not be entered. */
	assert_int_equal(client_mkdir(&c, c.top, "d", 0755, 0), ENFILE);
	assert_int_equal(client_create(&c, c.top, "n", O_RDWR, 0644, 0, &entry, &fh[0]), ENFILE);
	assert_int_equal(access(client_path(&c, "d"), F_OK), -1);
	assert_int_equal(access(client_path(&c, "n"), F_OK), -1);
	/* Directories can be read on. */
	uint64_t dir = open_directory(c.top), offset = 0, sum = 0, nodes = 0;
	struct fuse_read_in in = { .fh = dir, .size = 8192 };
	assert_int_equal(client_call(&c, FUSE_READDIRPLUS, c.top, &in, sizeof in), 0);
	while (read_some(c.top, dir, &offset, 4096, false, &sum, &nodes))
		;
	for (i = 0; i < 7; i++)
		assert_int_equal(client_open(&c, first, O_RDONLY, &fh[i]), 0);
	assert_int_equal(client_open(&c, first, O_RDONLY, &fh[i]), ENFILE);
	client_forget(&c, client_find(&c, c.top, "f1"), 100);
	assert_int_equal(client_create(&c, c.top, "n", O_RDWR, 0644, 0, &entry, &fh[0]), ENFILE);
	assert_int_equal(access(client_path(&c, "n"), F_OK), -1);
	assert_int_equal(client_release(&c, first, fh[1], false), 0);
	assert_int_equal(client_create(&c, c.top, "n", O_RDWR, 0644, 0, &entry, &fh[0]), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(init_features_are_those_wanted_and_offered),
		TEST(init_other_protocol_is_refused),
		TEST(init_missing_refuses_everything_else),
		TEST(destroy_forgets_all_and_closes_all),
		TEST(lookup_counts_until_forgotten),
		TEST(batch_forget_takes_all),
		TEST(lookup_of_nothing_is_cacheable),
		TEST(lookup_attributes_are_the_hosts),
		TEST(shares_of_other_devices_have_other_inode_numbers),
		TEST(mounts_within_a_share_are_submounts),
		TEST(mkdir_mode_and_umask_are_applied),
		TEST(mkdir_default_acl_replaces_the_umask),
		TEST(mknod_makes_what_was_asked),
		TEST(symlink_text_comes_back),
		TEST(link_is_the_same_node),
		TEST(unlink_and_rmdir_remove_their_kind),
		TEST(unlinked_while_open_goes_on),
		TEST(rename_takes_flags),
		TEST(names_of_255_bytes_and_any_bytes_work),
		TEST(create_opens_the_new_file),
		TEST(create_read_only_mode_is_still_writable_now),
		TEST(create_where_the_host_was_faster),
		TEST(open_only_files_are_opened),
		TEST(open_flags_that_are_ours_are_ignored),
		TEST(append_goes_to_the_end_but_not_for_the_cache),
		TEST(read_and_write_a_mebibyte),
		TEST(write_length_other_than_its_data_is_refused),
		TEST(handles_are_good_for_their_node_and_kind_only),
		TEST(flush_fsync_and_syncfs_work),
		TEST(holes_are_found_and_made),
		TEST(copy_file_range_copies),
		TEST(tmpfile_has_no_name_until_linked),
		TEST(setattr_sets_each_of_them),
		TEST(setattr_bad_values_are_refused),
		TEST(statx_has_the_birth_time),
		TEST(statfs_is_the_hosts),
		TEST(created_files_belong_to_who_asks),
		TEST(setgid_directory_gives_its_group),
		TEST(setuid_bits_go_when_the_guest_says),
		TEST(readdir_finds_each_entry_once),
		TEST(readdir_any_offset_gives_the_rest),
		TEST(readdir_of_two_at_a_time),
		TEST(readdir_too_little_room_is_an_error_not_the_end),
		TEST(readdir_of_the_root_lists_shares),
		TEST(share_of_a_file_is_that_file),
		TEST(xattrs_are_kept_by_name_space),
		TEST(xattrs_of_a_link_are_not_its_targets),
		TEST(xattr_size_other_than_its_value_is_refused),
		TEST(read_only_share_takes_no_change),
		TEST(root_takes_no_change),
		TEST(unsupported_operations_say_so),
		TEST(limits_give_enfile_and_hurt_nothing),
	};

	return cmocka_run_group_tests_name("fs_server", tests, NULL, NULL);
}
