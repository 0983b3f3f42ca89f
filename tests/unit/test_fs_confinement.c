/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest may not do: malformed requests, names that lead away, numbers it was never given, races. */
#include "tests/unit/fs_client.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

static struct client c;

static int start(void **state)
{
	char path[128];

	(void)state;
	client_start(&c);
	snprintf(path, sizeof path, "%s/secret", c.outside);
	client_put_file(path, "the host's secret");
	return 0;
}

static const char *secret(void)
{
	static char path[128];

	snprintf(path, sizeof path, "%s/secret", c.outside);
	return client_get_file(path);
}

static int stop(void **state)
{
	(void)state;
	assert_string_equal(secret(), "the host's secret");
	client_stop(&c);
	return 0;
}

/* --- form -------------------------------------------------------------------------------------------------------- */

#define S(type) sizeof(struct type)

/* Least and most bytes behind the header, and the room its reply needs. */
static const struct {
	uint32_t opcode, least, most, room;
} sizes[] = {
	{ FUSE_INIT, S(fuse_init_in), S(fuse_init_in), S(fuse_init_out) },
	{ FUSE_LOOKUP, 1, 1025, S(fuse_entry_out) },
	{ FUSE_SYMLINK, 2, 1025 + 4096, S(fuse_entry_out) },
	{ FUSE_MKNOD, S(fuse_mknod_in) + 1, S(fuse_mknod_in) + 1025, S(fuse_entry_out) },
	{ FUSE_MKDIR, S(fuse_mkdir_in) + 1, S(fuse_mkdir_in) + 1025, S(fuse_entry_out) },
	{ FUSE_LINK, S(fuse_link_in) + 1, S(fuse_link_in) + 1025, S(fuse_entry_out) },
	{ FUSE_UNLINK, 1, 1025, 0 },
	{ FUSE_RMDIR, 1, 1025, 0 },
	{ FUSE_RENAME, S(fuse_rename_in) + 2, S(fuse_rename_in) + 2 * 1025, 0 },
	{ FUSE_RENAME2, S(fuse_rename2_in) + 2, S(fuse_rename2_in) + 2 * 1025, 0 },
	{ FUSE_GETATTR, S(fuse_getattr_in), S(fuse_getattr_in), S(fuse_attr_out) },
	{ FS_FUSE_STATX, S(fs_statx_in), S(fs_statx_in), S(fs_statx_out) },
	{ FUSE_SETATTR, S(fuse_setattr_in), S(fuse_setattr_in), S(fuse_attr_out) },
	{ FUSE_READLINK, 0, 0, 0 },
	{ FUSE_STATFS, 0, 0, S(fuse_statfs_out) },
	{ FUSE_OPEN, S(fuse_open_in), S(fuse_open_in), S(fuse_open_out) },
	{ FUSE_CREATE, S(fuse_create_in) + 1, S(fuse_create_in) + 1025, S(fuse_entry_out) + S(fuse_open_out) },
	{ FUSE_TMPFILE, S(fuse_create_in) + 1, S(fuse_create_in) + 1025, S(fuse_entry_out) + S(fuse_open_out) },
	{ FUSE_FLUSH, S(fuse_flush_in), S(fuse_flush_in), 0 },
	{ FUSE_RELEASE, S(fuse_release_in), S(fuse_release_in), 0 },
	{ FUSE_FSYNC, S(fuse_fsync_in), S(fuse_fsync_in), 0 },
	{ FUSE_SYNCFS, S(fuse_syncfs_in), S(fuse_syncfs_in), 0 },
	{ FUSE_READ, S(fuse_read_in), S(fuse_read_in), 0 },
	{ FUSE_WRITE, S(fuse_write_in), S(fuse_write_in) + FS_WRITE_MAX, S(fuse_write_out) },
	{ FUSE_LSEEK, S(fuse_lseek_in), S(fuse_lseek_in), S(fuse_lseek_out) },
	{ FUSE_FALLOCATE, S(fuse_fallocate_in), S(fuse_fallocate_in), 0 },
	{ FUSE_COPY_FILE_RANGE, S(fuse_copy_file_range_in), S(fuse_copy_file_range_in), S(fuse_write_out) },
	{ FUSE_OPENDIR, S(fuse_open_in), S(fuse_open_in), S(fuse_open_out) },
	{ FUSE_READDIR, S(fuse_read_in), S(fuse_read_in), 0 },
	{ FUSE_READDIRPLUS, S(fuse_read_in), S(fuse_read_in), 0 },
	{ FUSE_RELEASEDIR, S(fuse_release_in), S(fuse_release_in), 0 },
	{ FUSE_FSYNCDIR, S(fuse_fsync_in), S(fuse_fsync_in), 0 },
	{ FUSE_SETXATTR, S(fuse_setxattr_in) + 2, S(fuse_setxattr_in) + 256 + 65536, 0 },
	{ FUSE_GETXATTR, S(fuse_getxattr_in) + 1, S(fuse_getxattr_in) + 1025, 0 },
	{ FUSE_LISTXATTR, S(fuse_getxattr_in), S(fuse_getxattr_in), 0 },
	{ FUSE_REMOVEXATTR, 1, 1025, 0 },
	{ FUSE_DESTROY, 0, 0, 0 },
};

static void any_wrong_size_is_refused(void **state)
{
	static uint8_t bytes[FS_WRITE_MAX + 256];
	struct fuse_attr attr;

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct client_part part = { bytes, sizes[i].most + 1 };
		unsigned long before = atomic_load(c.server->refused);

		assert_int_equal(client_call_parts(&c, sizes[i].opcode, c.top, &part, 1, 8192), EINVAL);
		if (sizes[i].least) {
			part.length = sizes[i].least - 1;
			assert_int_equal(client_call_parts(&c, sizes[i].opcode, c.top, &part, 1, 8192), EINVAL);
			part.length = 0;
			assert_int_equal(client_call_parts(&c, sizes[i].opcode, c.top, &part, 1, 8192), EINVAL);
		}
		if (sizes[i].room) {
			part.length = sizes[i].least;
			assert_int_equal(client_call_parts(&c, sizes[i].opcode, c.top, &part, 1, sizes[i].room - 1),
					 EINVAL);
		}
		assert_true(atomic_load(c.server->refused) > before);
	}
	assert_int_equal(client_getattr(&c, c.top, &attr), 0); /* nothing of it was done */
}

static void header_that_is_cut_off_gets_no_reply(void **state)
{
	struct fuse_in_header header = { .opcode = FUSE_STATFS, .nodeid = c.top };

	(void)state;
	for (uint32_t length = 0; length < sizeof header; length++) {
		header.len = length;
		assert_int_equal(client_raw(&c, &header, length, 4096), 0);
	}
	header.len = sizeof header;
	assert_int_equal(client_raw(&c, &header, sizeof header, 16 + sizeof(struct fuse_statfs_out)),
			 16 + sizeof(struct fuse_statfs_out));
}

static void header_length_must_be_the_requests(void **state)
{
	struct {
		struct fuse_in_header header;
		char name[4];
	} request = { { .opcode = FUSE_MKDIR, .unique = 9, .nodeid = 1 }, "d" };
	static const uint32_t lengths[] = { 0, 39, 40, 43, 45, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		struct fuse_out_header reply;

		request.header.len = lengths[i];
		assert_int_equal(client_raw(&c, &request, 44, 4096), sizeof reply);
		memcpy(&reply, c.reply, sizeof reply);
		assert_int_equal(reply.error, -EINVAL);
		assert_int_equal(reply.unique, 9);
	}
}

static void reply_without_room_for_a_header_is_not_begun(void **state)
{
	struct {
		struct fuse_in_header header;
		struct fuse_mkdir_in in;
		char name[2];
	} request = { { .opcode = FUSE_MKDIR, .nodeid = c.top, .uid = c.uid, .gid = c.gid }, { 0755, 0 }, "d" };

	(void)state;
	request.header.len = 50;
	for (size_t room = 0; room < 16; room++) {
		assert_int_equal(client_raw(&c, &request, 50, room), 0);
		for (size_t i = 0; i < room; i++)
			assert_int_equal(c.reply[i], 0xee);
	}
	assert_int_equal(access(client_path(&c, "d"), F_OK), -1);
}

static void extensions_that_were_not_agreed_on_are_refused(void **state)
{
	struct fuse_in_header header = {
		.len = sizeof header, .opcode = FUSE_STATFS, .nodeid = c.top, .total_extlen = 2
	};
	struct fuse_out_header reply;

	(void)state;
	assert_int_equal(client_raw(&c, &header, sizeof header, 4096), sizeof reply);
	memcpy(&reply, c.reply, sizeof reply);
	assert_int_equal(reply.error, -EINVAL);
}

/* --- names ------------------------------------------------------------------------------------------------------- */

/* Calls every operation that takes a name with these bytes as the name; all have to fail with `error`. */
static void try_name(const char *bytes, size_t length, int error)
{
	struct fuse_mkdir_in mkdir_in = { 0755, 0 };
	struct fuse_mknod_in mknod_in = { .mode = S_IFREG | 0644 };
	struct fuse_create_in create_in = { .flags = O_RDWR, .mode = 0644 };
	struct fuse_link_in link_in = { client_find(&c, c.top, "f") };
	struct fuse_rename_in rename_in = { c.top };
	struct fuse_rename2_in rename2_in = { .newdir = c.top };
	const struct {
		uint32_t opcode;
		struct client_part parts[3];
	} calls[] = {
		{ FUSE_LOOKUP, { { bytes, length } } },
		{ FUSE_UNLINK, { { bytes, length } } },
		{ FUSE_RMDIR, { { bytes, length } } },
		{ FUSE_SYMLINK, { { bytes, length }, { "x", 2 } } },
		{ FUSE_MKDIR, { { &mkdir_in, sizeof mkdir_in }, { bytes, length } } },
		{ FUSE_MKNOD, { { &mknod_in, sizeof mknod_in }, { bytes, length } } },
		{ FUSE_CREATE, { { &create_in, sizeof create_in }, { bytes, length } } },
		{ FUSE_LINK, { { &link_in, sizeof link_in }, { bytes, length } } },
		{ FUSE_RENAME, { { &rename_in, sizeof rename_in }, { bytes, length }, { "new", 4 } } },
		{ FUSE_RENAME, { { &rename_in, sizeof rename_in }, { "f", 2 }, { bytes, length } } },
		{ FUSE_RENAME2, { { &rename2_in, sizeof rename2_in }, { bytes, length }, { "new", 4 } } },
		{ FUSE_RENAME2, { { &rename2_in, sizeof rename2_in }, { "f", 2 }, { bytes, length } } },
	};

	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
		assert_int_equal(client_call_parts(&c, calls[i].opcode, c.top, calls[i].parts, 3, 8192), error);
}

static void names_that_are_no_component_are_refused(void **state)
{
	static const char *const names[] = { "",
					     ".",
					     "..",
					     "/",
					     "a/b",
					     "../x",
					     "../outside/secret",
					     "/etc/passwd",
					     "f/",
					     "f/.",
					     "./f",
					     "f/../../outside/secret" };

	(void)state;
	client_put_file(client_path(&c, "f"), "x");
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		try_name(names[i], strlen(names[i]) + 1, EINVAL);
	try_name("f", 1, EINVAL);     /* not terminated (and for two names: a second one is missing) */
	try_name("f\0\0", 3, EINVAL); /* bytes behind the name */
	try_name("f\0..\0", 5, EINVAL);
	assert_string_equal(client_get_file(client_path(&c, "f")), "x");
}

static void links_are_never_followed(void **state)
{
	struct fuse_entry_out entry;
	uint64_t fh;

	(void)state;
	assert_int_equal(symlink(c.outside, client_path(&c, "away")), 0);
	assert_int_equal(symlink("../outside", client_path(&c, "up")), 0);
	assert_int_equal(symlink("../outside/secret", client_path(&c, "file")), 0);
	assert_int_equal(symlink("/proc/self/root", client_path(&c, "magic")), 0);
	static const char *const names[] = { "away", "up", "file", "magic" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		uint64_t link = client_find(&c, c.top, names[i]);
		struct fuse_open_in in = { 0 };

		assert_int_equal(client_lookup(&c, link, "secret", &entry), ENOTDIR);
		assert_int_equal(client_open(&c, link, O_RDONLY, &fh), ELOOP);
		assert_int_equal(client_open(&c, link, O_RDWR | O_TRUNC, &fh), ELOOP);
		assert_int_equal(client_call(&c, FUSE_OPENDIR, link, &in, sizeof in), ENOTDIR);
		assert_int_equal(client_setattr(&c, link, (struct fuse_setattr_in){ .valid = FATTR_SIZE }), ELOOP);
		assert_int_equal(client_create(&c, link, "x", O_RDWR, 0644, 0, &entry, &fh), ENOTDIR);
		assert_int_equal(client_create(&c, c.top, names[i], O_RDWR | O_TRUNC, 0644, 0, &entry, &fh), ESTALE);
	}
	/* Owner and times of the link, not of the target. */
	struct stat before, after;
	char path[128];

	snprintf(path, sizeof path, "%s/secret", c.outside);
	assert_int_equal(stat(path, &before), 0);
	uint64_t link = client_find(&c, c.top, "file");
	assert_int_equal(client_setattr(&c, link, (struct fuse_setattr_in){ .valid = FATTR_MTIME, .mtime = 1 }), 0);
	client_setattr(&c, link, (struct fuse_setattr_in){ .valid = FATTR_UID | FATTR_GID, .uid = 1, .gid = 1 });
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
	assert_int_equal(before.st_uid, after.st_uid);
}

static void top_has_no_parent(void **state)
{
	struct fuse_open_in open_in = { 0 };
	struct fuse_entry_out entry;

	(void)state;
	/* READDIRPLUS lists "..", and gives no node for it. */
	assert_int_equal(client_call(&c, FUSE_OPENDIR, c.top, &open_in, sizeof open_in), 0);
	struct fuse_read_in in = { .fh = ((struct fuse_open_out *)(void *)c.reply)->fh, .size = 4096 };
	assert_int_equal(client_call(&c, FUSE_READDIRPLUS, c.top, &in, sizeof in), 0);
	assert_true(c.length > 0);
	memcpy(&entry, c.reply, sizeof entry);
	assert_int_equal(entry.nodeid, 0);
}

static void directory_moved_out_of_the_share_gives_what_is_in_it_only(void **state)
{
	struct fuse_entry_out entry;
	char away[128];

	(void)state;
	/* The host moves a directory away that the guest knows. Its contents are still the guest's, its parent never.
	 */
	assert_int_equal(mkdir(client_path(&c, "d"), 0755), 0);
	client_put_file(client_path(&c, "d/x"), "x");
	uint64_t dir = client_find(&c, c.top, "d");
	snprintf(away, sizeof away, "%s/d", c.outside);
	assert_int_equal(rename(client_path(&c, "d"), away), 0);
	assert_int_equal(client_lookup(&c, dir, "x", &entry), 0);
	assert_int_equal(client_lookup(&c, dir, "..", &entry), EINVAL);
	assert_int_equal(client_lookup(&c, dir, "../secret", &entry), EINVAL);
}

/* --- numbers ----------------------------------------------------------------------------------------------------- */

static void node_ids_never_given_out_are_stale(void **state)
{
	static const uint64_t ids[] = { 0,
					3,
					100,
					1ull << 31,
					1ull << 32,
					(1ull << 32) + 1,
					(1ull << 32) + 2,
					(7ull << 32) + 2,
					0x7fffffffffff,
					UINT64_MAX };
	struct fuse_entry_out entry;
	struct fuse_attr attr;
	uint64_t fh;

	(void)state;
	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
		assert_int_equal(client_getattr(&c, ids[i], &attr), ESTALE);
		assert_int_equal(client_lookup(&c, ids[i], "secret", &entry), ESTALE);
		assert_int_equal(client_open(&c, ids[i], O_RDONLY, &fh), ESTALE);
		assert_int_equal(client_read(&c, ids[i], 1, 0, 10), ESTALE);
		client_forget(&c, ids[i], UINT64_MAX);
	}
	assert_int_equal(client_getattr(&c, c.top, &attr), 0);
}

static void handles_never_given_out_are_bad(void **state)
{
	static const uint64_t ids[] = { 0, 1, 2, 100, 1ull << 32, (1ull << 32) + 1, UINT64_MAX };
	struct fuse_attr attr;

	(void)state;
	client_put_file(client_path(&c, "f"), "x");
	uint64_t node = client_find(&c, c.top, "f");
	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
		assert_int_equal(client_read(&c, node, ids[i], 0, 10), EBADF);
		assert_int_equal(client_write(&c, node, ids[i], 0, "y"), EBADF);
		assert_int_equal(client_release(&c, node, ids[i], false), EBADF);
		assert_int_equal(client_release(&c, c.top, ids[i], true), EBADF);
	}
	assert_int_equal(client_getattr(&c, node, &attr), 0);
}

/* --- races with the host ----------------------------------------------------------------------------------------- */

static atomic_bool racing;

/* Swaps a directory, a link to the outside and a file under one name, as fast as it goes. */
static void *swap_names(void *arg)
{
	char a[128], b[128], d[128];

	(void)arg;
	snprintf(a, sizeof a, "%s/target", c.share);
	snprintf(b, sizeof b, "%s/link", c.share);
	snprintf(d, sizeof d, "%s/plain", c.share);
	while (atomic_load(&racing)) {
		renameat2(AT_FDCWD, a, AT_FDCWD, b, 2);
		renameat2(AT_FDCWD, a, AT_FDCWD, d, 2);
	}
	return NULL;
}

static void races_with_the_host_never_lead_outside(void **state)
{
	static const char *const names[] = { "target", "link", "plain" };
	unsigned found = 0, opened = 0;
	pthread_t thread;
	struct stat st;
	char path[128];

	(void)state;
	assert_int_equal(mkdir(client_path(&c, "target"), 0755), 0);
	assert_int_equal(symlink("../outside", client_path(&c, "link")), 0);
	client_put_file(client_path(&c, "plain"), "inside");
	snprintf(path, sizeof path, "%s/secret", c.outside);
	assert_int_equal(stat(path, &st), 0);

	atomic_store(&racing, true);
	assert_int_equal(pthread_create(&thread, NULL, swap_names, NULL), 0);
	for (unsigned i = 0; i < 6000; i++) {
		struct fuse_entry_out entry, child;
		uint64_t fh, node;
		const char *name = names[i % 3];

		if (client_lookup(&c, c.top, name, &entry) || !entry.nodeid)
			continue;
		node = entry.nodeid;
		/* A directory that became a link meanwhile is still that directory. */
		if (!client_lookup(&c, node, "secret", &child))
			assert_int_equal(child.nodeid, 0);
		if (!client_create(&c, node, "made", O_RDWR, 0644, 0, &child, &fh)) {
			found++;
			client_release(&c, child.nodeid, fh, false);
			client_forget(&c, child.nodeid, 1);
			client_names(&c, FUSE_UNLINK, node, NULL, 0, "made", NULL);
		}
		if (!client_open(&c, node, O_RDWR, &fh)) {
			struct fuse_attr attr;

			opened++;
			assert_int_equal(client_getattr(&c, node, &attr), 0);
			assert_int_not_equal(attr.ino, st.st_ino);
			client_release(&c, node, fh, false);
		}
		if (!client_create(&c, c.top, name, O_RDWR, 0644, 0, &child, &fh)) {
			assert_int_not_equal(child.attr.ino, st.st_ino);
			client_release(&c, child.nodeid, fh, false);
			client_forget(&c, child.nodeid, 1);
		}
		client_forget(&c, node, 1);
		if (i % 64 == 0)
			sched_yield();
	}
	atomic_store(&racing, false);
	pthread_join(thread, NULL);
	assert_true(found > 0 && opened > 0);
	snprintf(path, sizeof path, "%s/made", c.outside);
	assert_int_equal(access(path, F_OK), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(any_wrong_size_is_refused),
		TEST(header_that_is_cut_off_gets_no_reply),
		TEST(header_length_must_be_the_requests),
		TEST(reply_without_room_for_a_header_is_not_begun),
		TEST(extensions_that_were_not_agreed_on_are_refused),
		TEST(names_that_are_no_component_are_refused),
		TEST(links_are_never_followed),
		TEST(top_has_no_parent),
		TEST(directory_moved_out_of_the_share_gives_what_is_in_it_only),
		TEST(node_ids_never_given_out_are_stale),
		TEST(handles_never_given_out_are_bad),
		TEST(races_with_the_host_never_lead_outside),
	};

	return cmocka_run_group_tests_name("fs_confinement", tests, NULL, NULL);
}
