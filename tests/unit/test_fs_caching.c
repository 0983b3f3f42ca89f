/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest is told to believe, and for how long, in each mode. */
#include "tests/unit/fs_client.h"

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

/* A new mount in that mode, by a driver that opens files. */
static struct fuse_init_out begin(const char *mode)
{
	struct fuse_entry_out entry;
	struct fuse_init_out out;

	c.server->caching = *fs_caching_find(mode);
	assert_int_equal(client_init(&c), 0);
	memcpy(&out, c.reply, sizeof out);
	assert_int_equal(client_lookup(&c, FS_ROOT_ID, "s", &entry), 0);
	c.top = entry.nodeid;
	return out;
}

static uint32_t open_flags(uint64_t node, uint32_t flags, uint64_t *fh)
{
	struct fuse_open_out out;

	assert_int_equal(client_open(&c, node, flags, fh), 0);
	memcpy(&out, c.reply, sizeof out);
	return out.open_flags;
}

static void none_lets_the_guest_believe_nothing(void **state)
{
	struct fuse_entry_out entry;
	uint64_t fh;

	(void)state;
	client_put_file(client_path(&c, "f"), "text");
	assert_false(begin("none").flags & FUSE_WRITEBACK_CACHE);
	assert_int_equal(client_lookup(&c, c.top, "f", &entry), 0);
	assert_int_equal(entry.entry_valid + entry.attr_valid, 0);
	assert_int_equal(entry.entry_valid_nsec + entry.attr_valid_nsec, 0);
	/* A name that does not exist is an error, which is not remembered. */
	assert_int_equal(client_lookup(&c, c.top, "none", &entry), ENOENT);
	uint32_t flags = open_flags(client_find(&c, c.top, "f"), O_RDONLY, &fh);
	assert_true(flags & FOPEN_DIRECT_IO);
	assert_false(flags & FOPEN_KEEP_CACHE);
}

static void auto_is_a_second(void **state)
{
	struct fuse_entry_out entry;
	uint64_t fh;

	(void)state;
	client_put_file(client_path(&c, "f"), "text");
	assert_false(begin("auto").flags & FUSE_WRITEBACK_CACHE);
	assert_int_equal(client_lookup(&c, c.top, "f", &entry), 0);
	assert_int_equal(entry.entry_valid, 1);
	assert_int_equal(entry.attr_valid, 1);
	assert_int_equal(client_lookup(&c, c.top, "none", &entry), 0);
	assert_int_equal(entry.nodeid, 0);
	uint32_t flags = open_flags(client_find(&c, c.top, "f"), O_RDONLY, &fh);
	assert_true(flags & FOPEN_KEEP_CACHE);
	assert_false(flags & FOPEN_DIRECT_IO);
}

static void always_is_a_day_and_writes_back(void **state)
{
	struct fuse_entry_out entry;
	uint64_t fh;

	(void)state;
	client_put_file(client_path(&c, "f"), "text");
	assert_true(begin("always").flags & FUSE_WRITEBACK_CACHE);
	assert_int_equal(client_lookup(&c, c.top, "f", &entry), 0);
	assert_int_equal(entry.entry_valid, 86400);
	assert_int_equal(entry.attr_valid, 86400);
	/* Pages are read through a handle that was opened to write. */
	open_flags(entry.nodeid, O_WRONLY, &fh);
	assert_int_equal(client_read(&c, entry.nodeid, fh, 0, 10), 0);
	assert_memory_equal(c.reply, "text", 4);
	begin("auto");
	assert_int_equal(client_lookup(&c, c.top, "f", &entry), 0);
	open_flags(entry.nodeid, O_WRONLY, &fh);
	assert_int_equal(client_read(&c, entry.nodeid, fh, 0, 10), EBADF);
}

static void there_is_no_other_mode(void **state)
{
	(void)state;
	assert_null(fs_caching_find(""));
	assert_null(fs_caching_find("sometimes"));
	assert_ptr_equal(fs_caching_find("auto"), &fs_caching_auto);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(none_lets_the_guest_believe_nothing),
		TEST(auto_is_a_second),
		TEST(always_is_a_day_and_writes_back),
		cmocka_unit_test(there_is_no_other_mode),
	};

	return cmocka_run_group_tests_name("fs_caching", tests, NULL, NULL);
}
