/* SPDX-License-Identifier: Apache-2.0 */
/* Files without OPEN and RELEASE: handle 0 stands for the node's own file. */
#include "tests/unit/fs_client.h"

enum { NO_OPEN = 1 << 17 };

static struct client c;

/* A new mount, which forgets all nodes. */
static int begin(void)
{
	struct fuse_entry_out entry;

	if (client_init_with(&c, ~0u & ~(1u << 31)) || client_lookup(&c, FS_ROOT_ID, "s", &entry))
		return -1;
	c.top = entry.nodeid;
	return 0;
}

/* A guest whose driver can do without OPEN. Only root's files need none: without root the tests are skipped. */
static int start(void **state)
{
	(void)state;
	client_start(&c);
	return begin();
}

static int stop(void **state)
{
	(void)state;
	client_stop(&c);
	return 0;
}

static uint64_t put(const char *name, const char *text)
{
	client_put_file(client_path(&c, "%s", name), text);
	return client_find(&c, c.top, name);
}

static void need_root(void)
{
	if (geteuid())
		skip();
}

static void open_and_flush_are_not_needed(void **state)
{
	struct fuse_flush_in flush = { 0 };
	uint64_t fh;

	(void)state;
	need_root();
	uint64_t node = put("f", "text");
	assert_int_equal(client_open(&c, node, O_RDWR, &fh), ENOSYS);
	assert_int_equal(client_call(&c, FUSE_FLUSH, node, &flush, sizeof flush), ENOSYS);
	/* Truncation cannot come with OPEN then. */
	struct fuse_init_out *out = (void *)c.reply;
	assert_int_equal(client_init_with(&c, ~0u & ~(1u << 31)), 0);
	assert_false(out->flags & FUSE_ATOMIC_O_TRUNC);
	assert_int_equal(client_init_with(&c, ~0u & ~(1u << 31 | NO_OPEN)), 0);
	assert_true(out->flags & FUSE_ATOMIC_O_TRUNC);
}

static void every_operation_finds_the_file(void **state)
{
	struct fuse_setattr_in size = { .valid = FATTR_SIZE | FATTR_FH, .size = 3 };
	struct fuse_fallocate_in room = { .length = 100 };
	struct fuse_lseek_in hole = { .whence = SEEK_HOLE };
	struct fuse_fsync_in sync = { 0 };

	(void)state;
	need_root();
	unsigned before = client_open_files();
	uint64_t node = put("f", "0123456789"), other = put("g", "");
	struct fuse_copy_file_range_in copy = { .nodeid_out = other, .len = 4 };

	assert_int_equal(client_read(&c, node, 0, 2, 100), 0);
	assert_memory_equal(c.reply, "23456789", 8);
	assert_int_equal(client_write(&c, node, 0, 2, "ab"), 0);
	assert_string_equal(client_get_file(client_path(&c, "f")), "01ab456789");
	assert_int_equal(client_write_flags(&c, node, 0, 0, "end", 3, O_WRONLY | O_APPEND | O_SYNC, 0), 0);
	assert_string_equal(client_get_file(client_path(&c, "f")), "01ab456789end");
	assert_int_equal(client_call(&c, FUSE_COPY_FILE_RANGE, node, &copy, sizeof copy), 0);
	assert_string_equal(client_get_file(client_path(&c, "g")), "01ab");
	assert_int_equal(client_call(&c, FUSE_SETATTR, node, &size, sizeof size), 0);
	assert_string_equal(client_get_file(client_path(&c, "f")), "01a");
	assert_int_equal(client_call(&c, FUSE_FALLOCATE, node, &room, sizeof room), 0);
	assert_int_equal(client_call(&c, FUSE_LSEEK, node, &hole, sizeof hole), 0);
	assert_int_equal(client_call(&c, FUSE_FSYNC, node, &sync, sizeof sync), 0);
	/* The node's own descriptor is all that stays open. */
	assert_int_equal(client_open_files(), before + 2);
}

static void unlinked_file_is_still_there(void **state)
{
	(void)state;
	need_root();
	uint64_t node = put("f", "kept");
	assert_int_equal(client_names(&c, FUSE_UNLINK, c.top, NULL, 0, "f", NULL), 0);
	put("f", "another");
	assert_int_equal(client_read(&c, node, 0, 0, 100), 0);
	assert_memory_equal(c.reply, "kept", 4);
}

static void created_file_is_not_left_open(void **state)
{
	struct fuse_release_in release = { 0 };
	struct fuse_entry_out entry;

	(void)state;
	need_root();
	unsigned before = client_open_files();
	assert_int_equal(client_create(&c, c.top, "f", O_RDWR, 0, 0, &entry, &release.fh), 0);
	assert_int_equal(release.fh, 0);
	assert_int_equal(client_open_files(), before + 1);
	assert_int_equal(client_write(&c, entry.nodeid, 0, 0, "x"), 0);
	assert_int_equal(client_call(&c, FUSE_RELEASE, entry.nodeid, &release, sizeof release), 0);
}

static void only_files_are_opened(void **state)
{
	struct fuse_copy_file_range_in copy = { .nodeid_out = FS_ROOT_ID, .len = 4 };

	(void)state;
	need_root();
	assert_int_equal(mkfifo(client_path(&c, "p"), 0600), 0);
	assert_int_equal(symlink("f", client_path(&c, "l")), 0);
	assert_int_equal(client_read(&c, client_find(&c, c.top, "p"), 0, 0, 10), EBADF);
	assert_int_equal(client_read(&c, client_find(&c, c.top, "l"), 0, 0, 10), EBADF);
	assert_int_equal(client_read(&c, c.top, 0, 0, 10), EBADF);
	assert_int_equal(client_write(&c, c.top, 0, 0, "x"), EBADF);
	assert_int_equal(client_read(&c, FS_ROOT_ID, 0, 0, 10), EISDIR);
	assert_int_equal(client_call(&c, FUSE_COPY_FILE_RANGE, put("f", "text"), &copy, sizeof copy), EBADF);
}

static void read_only_share_is_not_written(void **state)
{
	struct fuse_fallocate_in room = { .length = 100 };
	struct fuse_entry_out entry;
	struct err err = ERR_INIT;

	(void)state;
	need_root();
	put("f", "text");
	assert_int_equal(fs_shares_add(&c.server->shares, "ro", open(c.share, O_PATH | O_CLOEXEC), true, &err), 0);
	assert_int_equal(client_lookup(&c, FS_ROOT_ID, "ro", &entry), 0);
	/* The same directory twice is one node: the one that was found first. So forget that. */
	assert_int_equal(client_init_with(&c, ~0u & ~(1u << 31)), 0);
	assert_int_equal(client_lookup(&c, FS_ROOT_ID, "ro", &entry), 0);
	uint64_t node = client_find(&c, entry.nodeid, "f");
	assert_int_equal(client_read(&c, node, 0, 0, 10), 0);
	assert_int_equal(client_write(&c, node, 0, 0, "x"), EROFS);
	assert_int_equal(client_call(&c, FUSE_FALLOCATE, node, &room, sizeof room), EROFS);
	assert_string_equal(client_get_file(client_path(&c, "f")), "text");
}

static void without_the_agreement_handle_0_is_none(void **state)
{
	uint64_t fh;

	(void)state;
	assert_int_equal(client_init(&c), 0);
	struct fuse_entry_out entry;
	assert_int_equal(client_lookup(&c, FS_ROOT_ID, "s", &entry), 0);
	client_put_file(client_path(&c, "f"), "text");
	uint64_t node = client_find(&c, entry.nodeid, "f");
	assert_int_equal(client_read(&c, node, 0, 0, 10), EBADF);
	assert_int_equal(client_open(&c, node, O_RDONLY, &fh), 0);
	/* Nor is there one on a file system to which it matters when a file is opened. */
	struct fs_share *share = fs_shares_find(&c.server->shares, "s");
	share->plain_open = false;
	fs_share_put(share);
	assert_int_equal(client_init_with(&c, ~0u & ~(1u << 31)), 0);
	assert_int_equal(client_lookup(&c, FS_ROOT_ID, "s", &entry), 0);
	node = client_find(&c, entry.nodeid, "f");
	assert_int_equal(client_read(&c, node, 0, 0, 10), EBADF);
	assert_int_equal(client_open(&c, node, O_RDONLY, &fh), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(open_and_flush_are_not_needed),
		TEST(every_operation_finds_the_file),
		TEST(unlinked_file_is_still_there),
		TEST(created_file_is_not_left_open),
		TEST(only_files_are_opened),
		TEST(read_only_share_is_not_written),
		TEST(without_the_agreement_handle_0_is_none),
	};

	return cmocka_run_group_tests_name("fs_openless", tests, NULL, NULL);
}
