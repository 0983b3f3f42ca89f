/* SPDX-License-Identifier: Apache-2.0 */
/* Files in the DAX window: what may be mapped, what is seen there, and what becomes of it when the host changes files.
 */
#include "tests/unit/fs_client.h"
#include "vmm/fs_tables.h"
#include "vmm/fs_window.h"
#include "vmm/snapshot.h"

#include <signal.h>
#include <sys/mman.h>

enum { PIECES = 4, PIECE = (int)FS_WINDOW_PIECE, NO_OPEN = 1 << 17, PAGE = 4096 };

static struct client c;
static struct fs_window window;
static uint64_t ro; /* the read-only share's root */

static uint64_t init_flags(void)
{
	const struct fuse_init_out *out = (const void *)c.reply;

	return out->flags | (uint64_t)out->flags2 << 32;
}

static int start(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	client_start(&c);
	if (fs_window_create(&window, PIECES * FS_WINDOW_PIECE, &err))
		fail_msg("%s", err.text);
	fs_server_set_window(c.server, &window);
	client_add_share(&c, "ro", c.outside, true);
	/* Wherever /tmp lies. */
	for (unsigned slot = 0;; slot++) {
		struct fs_share *share = fs_shares_at(&c.server->shares, &slot);

		if (!share)
			break;
		share->plain_open = true;
		fs_share_put(share);
	}
	assert_int_equal(client_init_with(&c, ~0u & ~(uint32_t)NO_OPEN), 0);
	assert_true(init_flags() & FUSE_MAP_ALIGNMENT && init_flags() & FUSE_HAS_INODE_DAX);
	assert_int_equal(((const struct fuse_init_out *)(const void *)c.reply)->map_alignment, FS_WINDOW_PIECE_SHIFT);
	c.top = client_find(&c, FS_ROOT_ID, "s");
	ro = client_find(&c, FS_ROOT_ID, "ro");
	return 0;
}

static int stop(void **state)
{
	(void)state;
	client_stop(&c);
	fs_window_destroy(&window);
	return 0;
}

static const char *in_ro(const char *name)
{
	static char path[128];

	snprintf(path, sizeof path, "%s/%s", c.outside, name);
	return path;
}

/* A file whose pages hold their own number, from 1 on. */
static void make(const char *name, unsigned pages, unsigned tail)
{
	int fd = open(in_ro(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	for (unsigned i = 1; i <= pages; i++)
		assert_int_equal(pwrite(fd, &i, sizeof i, (off_t)(i - 1) * PAGE), sizeof i);
	assert_int_equal(ftruncate(fd, (off_t)pages * PAGE + tail), 0);
	close(fd);
}

static int map(uint64_t node, uint64_t file_offset, uint64_t window_offset, uint64_t length, uint64_t flags)
{
	struct fuse_setupmapping_in in = {
		.fh = UINT64_MAX, .foffset = file_offset, .len = length, .flags = flags, .moffset = window_offset
	};

	return client_call(&c, FUSE_SETUPMAPPING, node, &in, sizeof in);
}

static int unmap(uint64_t node, uint32_t count, uint64_t window_offset, uint64_t length)
{
	struct {
		struct fuse_removemapping_in in;
		struct fuse_removemapping_one one;
	} args = { { count }, { window_offset, length } };

	_Static_assert(sizeof args == 24, "one follows the count, after padding");

	struct client_part parts[] = { { &args.in, sizeof args.in }, { &args.one, sizeof args.one } };

	return client_call_parts(&c, FUSE_REMOVEMAPPING, node, parts, 2, 64);
}

static unsigned seen(uint64_t at)
{
	return *(volatile unsigned *)(void *)(window.host + at);
}

static void the_file_is_seen_and_goes_again(void **state)
{
	(void)state;
	unsigned before = client_open_files();
	make("f", 600, 10);
	uint64_t node = client_find(&c, ro, "f");

	assert_int_equal(seen(PIECE), 0);
	assert_int_equal(map(node, 0, PIECE, PIECE, FUSE_SETUPMAPPING_FLAG_READ), 0);
	assert_int_equal(map(node, PIECE, 0, PIECE, FUSE_SETUPMAPPING_FLAG_READ), 0);
	assert_int_equal(seen(PIECE), 1);
	assert_int_equal(seen(PIECE + 511 * PAGE), 512);
	assert_int_equal(seen(0), 513);
	/* What the host writes is there at once: they are the same pages. */
	unsigned other = 77;
	int fd = open(in_ro("f"), O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, &other, sizeof other, 0), sizeof other);
	close(fd);
	assert_int_equal(seen(PIECE), 77);
	/* A piece may change its file. The other way round it is zeros again. */
	assert_int_equal(map(node, 0, 0, PIECE, FUSE_SETUPMAPPING_FLAG_READ), 0);
	assert_int_equal(seen(0), 77);
	assert_int_equal(unmap(node, 1, PIECE, PIECE), 0);
	assert_int_equal(seen(PIECE), 0);
	assert_int_equal(unmap(node, 1, PIECE, PIECE), 0);
	/* A node that is forgotten stays until its pieces go. */
	client_forget(&c, node, 1);
	assert_int_equal(seen(0), 77);
	assert_true(client_open_files() > before);
	assert_int_equal(unmap(0, 1, 0, PIECE), 0);
	assert_int_equal(client_open_files(), before);
}

static void bounds_are_kept(void **state)
{
	const uint64_t P = FS_WINDOW_PIECE, R = FUSE_SETUPMAPPING_FLAG_READ;
	const struct {
		uint64_t file, window, length, flags;
		int error;
	} table[] = {
		{ 0, 0, P, R, 0 },
		{ 0, (PIECES - 1) * P, P, R, 0 },
		{ 0, PIECES * P, P, R, EINVAL },
		{ 0, UINT64_MAX - P + 1, P, R, EINVAL },
		{ 0, UINT64_MAX, P, R, EINVAL },
		{ 0, PAGE, P, R, EINVAL },
		{ 0, 1, P, R, EINVAL },
		{ 0, 0, 0, R, EINVAL },
		{ 0, 0, PAGE, R, EINVAL },
		{ 0, 0, 2 * P, R, EINVAL },
		{ 0, 0, UINT64_MAX, R, EINVAL },
		{ 0, 0, UINT64_MAX - P + 1, R, EINVAL },
		{ PAGE, 0, P, R, EINVAL },
		{ 1, 0, P, R, EINVAL },
		{ 1ull << 63, 0, P, R, EINVAL },
		{ UINT64_MAX - P + 1, 0, P, R, EINVAL },
		{ INT64_MAX - P + 1, 0, P, R, EINVAL },
		{ 0, 0, P, R | FUSE_SETUPMAPPING_FLAG_WRITE, EROFS },
		{ 0, 0, P, R | 4, EINVAL },
		/* Beyond its end there is nothing, but no harm either. */
		{ 100 * P, 0, P, R, 0 },
	};

	(void)state;
	make("f", 10, 0);
	uint64_t node = client_find(&c, ro, "f");
	for (unsigned i = 0; i < sizeof table / sizeof *table; i++)
		assert_int_equal(map(node, table[i].file, table[i].window, table[i].length, table[i].flags),
				 table[i].error);
	assert_int_equal(unmap(node, 1, PIECES * P, P), EINVAL);
	assert_int_equal(unmap(node, 1, 0, PAGE), EINVAL);
	assert_int_equal(unmap(node, 1, PAGE, P), EINVAL);
	assert_int_equal(unmap(node, 2, 0, P), EINVAL);
	assert_int_equal(unmap(node, 0, 0, P), EINVAL);
	assert_int_equal(unmap(node, UINT32_MAX, 0, P), EINVAL);
}

static void only_files_of_read_only_shares_are_mapped(void **state)
{
	struct fuse_attr attr;
	struct fuse_entry_out entry;

	(void)state;
	make("large", FS_MAP_MIN / PAGE, 0);
	make("small", FS_MAP_MIN / PAGE - 1, PAGE - 1);
	client_put_file(client_path(&c, "large"), "");
	assert_int_equal(truncate(client_path(&c, "large"), FS_MAP_MIN), 0);
	assert_int_equal(mkfifo(in_ro("pipe"), 0644), 0);
	assert_int_equal(mkdir(in_ro("dir"), 0755), 0);
	assert_int_equal(map(ro, 0, 0, PIECE, 2), EACCES);
	assert_int_equal(map(client_find(&c, ro, "dir"), 0, 0, PIECE, 2), EACCES);
	assert_int_equal(map(client_find(&c, ro, "pipe"), 0, 0, PIECE, 2), EACCES);
	assert_int_equal(map(client_find(&c, c.top, "large"), 0, 0, PIECE, 2), EACCES);
	assert_int_equal(map(FS_ROOT_ID, 0, 0, PIECE, 2), EISDIR);
	assert_int_equal(map(12345678, 0, 0, PIECE, 2), ESTALE);
	/* And the attributes say so, for those where it pays. */
	assert_int_equal(client_lookup(&c, ro, "large", &entry), 0);
	assert_true(entry.attr.flags & FUSE_ATTR_DAX);
	assert_int_equal(client_getattr(&c, entry.nodeid, &attr), 0);
	assert_true(attr.flags & FUSE_ATTR_DAX);
	struct fs_statx_in statx = { .sx_mask = 0xfff };
	assert_int_equal(client_call(&c, FS_FUSE_STATX, entry.nodeid, &statx, sizeof statx), 0);
	assert_true(((struct fs_statx_out *)(void *)c.reply)->flags & FUSE_ATTR_DAX);
	assert_int_equal(client_lookup(&c, ro, "small", &entry), 0);
	assert_false(entry.attr.flags & FUSE_ATTR_DAX);
	assert_int_equal(client_lookup(&c, ro, "dir", &entry), 0);
	assert_false(entry.attr.flags & FUSE_ATTR_DAX);
	assert_int_equal(client_lookup(&c, c.top, "large", &entry), 0);
	assert_false(entry.attr.flags & FUSE_ATTR_DAX);
}

static void without_the_agreement_nothing_is_mapped(void **state)
{
	struct fuse_entry_out entry;

	(void)state;
	make("f", 100, 0);
	assert_int_equal(map(client_find(&c, ro, "f"), 0, 0, PIECE, 2), 0);
	assert_int_equal(seen(0), 1);
	/* A new session: what the last one mapped is gone. */
	assert_int_equal(client_init_with(&c, ~0u & ~(uint32_t)(NO_OPEN | FUSE_MAP_ALIGNMENT)), 0);
	assert_false(init_flags() & (FUSE_MAP_ALIGNMENT | FUSE_HAS_INODE_DAX));
	assert_int_equal(seen(0), 0);
	ro = client_find(&c, FS_ROOT_ID, "ro");
	assert_int_equal(client_lookup(&c, ro, "f", &entry), 0);
	assert_false(entry.attr.flags & FUSE_ATTR_DAX);
	assert_int_equal(map(entry.nodeid, 0, 0, PIECE, 2), ENOSYS);
	assert_int_equal(unmap(entry.nodeid, 1, 0, PIECE), ENOSYS);
}

static void a_truncated_file_leaves_zeros_until_it_grows(void **state)
{
	struct fuse_attr attr;

	(void)state;
	make("f", 600, 0);
	uint64_t node = client_find(&c, ro, "f");
	assert_int_equal(map(node, 0, 0, PIECE, 2), 0);
	assert_int_equal(map(node, PIECE, PIECE, PIECE, 2), 0);
	assert_false(fs_window_mend(&window) && !atomic_load(&window.is_torn));
	assert_int_equal(seen(99 * PAGE), 100);

	assert_int_equal(truncate(in_ro("f"), 99 * PAGE + 100), 0);
	assert_true(fs_window_mend(&window));
	assert_false(fs_window_mend(&window));
	assert_int_equal(seen(98 * PAGE), 99);
	assert_int_equal(seen(99 * PAGE), 100); /* the rest of the last page is the file's */
	assert_int_equal(seen(100 * PAGE), 0);
	assert_int_equal(seen(PIECE), 0);
	/* Grown again: with the answer that says so, if not before. */
	make("f", 600, 0);
	assert_int_equal(client_getattr(&c, node, &attr), 0);
	assert_int_equal(attr.size, 600 * PAGE);
	assert_int_equal(seen(100 * PAGE), 101);
	assert_int_equal(seen(PIECE), 513);
}

static void a_thread_of_ours_survives_a_page_that_is_gone(void **state)
{
	struct err err = ERR_INIT;
	struct fuse_attr attr;

	(void)state;
	/* Here: cmocka has a handler of its own for each test. */
	assert_int_equal(fs_window_catch_faults(&window, &err), 0);
	make("f", 100, 0);
	uint64_t node = client_find(&c, ro, "f");
	assert_int_equal(map(node, 0, PIECE, PIECE, 2), 0);
	assert_int_equal(truncate(in_ro("f"), 50 * PAGE), 0);
	assert_int_equal(seen(PIECE + 49 * PAGE), 50);
	assert_int_equal(seen(PIECE + 60 * PAGE), 0);
	assert_int_equal(seen(PIECE + 50 * PAGE), 0);
	assert_int_equal(seen(PIECE + 511 * PAGE), 0);
	make("f", 100, 0);
	assert_int_equal(client_getattr(&c, node, &attr), 0);
	assert_int_equal(seen(PIECE + 60 * PAGE), 61);
	assert_int_equal(seen(PIECE + 50 * PAGE), 51);
}

/* What a vCPU touches there, fs_window_mend has to find. */
static void behind_a_page_that_is_gone_there_are_zeros(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(fs_window_catch_faults(&window, &err), 0);
	make("f", 100, 0);
	uint64_t node = client_find(&c, ro, "f");
	assert_int_equal(map(node, 0, PIECE, PIECE, 2), 0);
	assert_int_equal(truncate(in_ro("f"), 50 * PAGE), 0);
	assert_int_equal(seen(PIECE + 60 * PAGE), 0);
	assert_int_equal(signal(SIGBUS, SIG_DFL) == SIG_ERR, 0); /* from here on there has to be a page */
	assert_int_equal(seen(PIECE + 61 * PAGE), 0);
	assert_int_equal(seen(PIECE + 511 * PAGE), 0);
	assert_true(fs_window_mend(&window));
	assert_int_equal(seen(PIECE + 50 * PAGE), 0);
	assert_int_equal(seen(PIECE + 49 * PAGE), 50);
	assert_int_equal(seen(2 * PIECE), 0);
}

/* The kernel may have taken away what was there before it failed: nothing of this process's may come to lie there. */
static void a_mapping_that_fails_leaves_zeros(void **state)
{
	(void)state;
	make("f", 600, 0);
	uint64_t id = client_find(&c, ro, "f");
	assert_int_equal(map(id, 0, PIECE, PIECE, 2), 0);
	assert_int_equal(seen(PIECE), 1);
	struct fs_node *node = fs_nodes_get(&c.server->nodes, id);
	assert_int_equal(fs_window_map(&window, 1, node, -1, 0), EBADF);
	assert_int_equal(seen(PIECE), 0);
	assert_int_equal(seen(PIECE + 511 * PAGE), 0);
	assert_null(window.pieces[1].node);
	assert_int_equal(map(id, 0, PIECE, PIECE, 2), 0);
	assert_int_equal(seen(PIECE), 1);
	fs_nodes_put(&c.server->nodes, node);
}

/* The kernel says it of the mapping; a write through it would be SIGSEGV. */
static void nothing_in_the_window_can_be_written_or_run(void **state)
{
	char line[512];
	unsigned found = 0;

	(void)state;
	make("f", 600, 0);
	uint64_t node = client_find(&c, ro, "f");
	assert_int_equal(map(node, 0, PIECE, PIECE, 2), 0);
	FILE *maps = fopen("/proc/self/maps", "re");
	assert_non_null(maps);
	while (fgets(line, sizeof line, maps)) {
		unsigned long low, high;
		char rights[5];

		assert_int_equal(sscanf(line, "%lx-%lx %4s", &low, &high, rights), 3);
		if (high <= (uintptr_t)window.host || low >= (uintptr_t)window.host + window.size)
			continue;
		found++;
		assert_true(rights[0] == 'r' && rights[1] == '-' && rights[2] == '-');
	}
	fclose(maps);
	assert_true(found >= 3);
}

/* Another server, of the same shares, with a window of its own; it continues what `snapshot` has. */
static int go_on(struct client *d, struct fs_window *other, const struct snapshot *snapshot, bool read_only,
		 struct err *err)
{
	memset(d, 0, offsetof(struct client, reply));
	memcpy(d->outside, c.outside, sizeof d->outside);
	d->server = fs_server_create((struct fs_limits){ .nodes = 512, .handles = 128 }, -1, err);
	assert_non_null(d->server);
	assert_int_equal(fs_window_create(other, PIECES * FS_WINDOW_PIECE, err), 0);
	fs_server_set_window(d->server, other);
	client_add_share(d, "s", c.share, false);
	client_add_share(d, "ro", c.outside, read_only);
	for (unsigned slot = 0;; slot++) {
		struct fs_share *share = fs_shares_at(&d->server->shares, &slot);

		if (!share)
			break;
		share->plain_open = true;
		fs_share_put(share);
	}
	return fs_tables_restore(d->server, snapshot, -1, false, err);
}

static void what_was_mapped_is_mapped_again(void **state)
{
	static struct client d;
	struct snapshot_writer writer = { 0 };
	struct snapshot snapshot;
	struct fs_window other;
	struct err err = ERR_INIT;
	uint64_t f, g, end = PAGE;

	(void)state;
	make("f", 600, 0);
	make("g", 600, 0);
	f = client_find(&c, ro, "f");
	g = client_find(&c, ro, "g");
	assert_int_equal(map(f, 0, 3 * FS_WINDOW_PIECE, PIECE, FUSE_SETUPMAPPING_FLAG_READ), 0);
	assert_int_equal(map(f, FS_WINDOW_PIECE, 0, PIECE, FUSE_SETUPMAPPING_FLAG_READ), 0);
	assert_int_equal(map(g, 0, FS_WINDOW_PIECE, PIECE, FUSE_SETUPMAPPING_FLAG_READ), 0);
	client_forget(&c, g, 1);
	if (fs_tables_save(c.server, &writer, -1, &end, &err) || snapshot_finish(&writer, &err))
		fail_msg("%s", err.text);
	assert_int_equal(snapshot_open(&snapshot, writer.data, writer.length, &err), 0);

	if (go_on(&d, &other, &snapshot, true, &err))
		fail_msg("%s", err.text);
	assert_int_equal(*(unsigned *)(void *)(other.host + 3 * FS_WINDOW_PIECE), 1);
	assert_int_equal(*(unsigned *)(void *)other.host, 513);
	assert_int_equal(*(unsigned *)(void *)(other.host + FS_WINDOW_PIECE), 0); /* nobody knows it any more */
	fs_server_destroy(d.server);
	fs_window_destroy(&other);

	/* What may be written to by now is not shown. */
	assert_int_equal(go_on(&d, &other, &snapshot, false, &err), -1);
	assert_non_null(strstr(err.text, "share ro has files that the checkpoint has mapped"));
	assert_int_equal(*(unsigned *)(void *)(other.host + 3 * FS_WINDOW_PIECE), 0);
	fs_server_destroy(d.server);
	fs_window_destroy(&other);
	free(writer.data);
}

/* Each word of the list by others: refused, or harmless. */
static void pieces_that_make_no_sense_are_refused(void **state)
{
	const uint64_t bad[][3] = {
		{ 77, 0, 0 },
		{ FS_ROOT_ID, 0, 0 },
		{ 0, 0, 0 },
		{ UINT64_MAX, PAGE, 0 },
		{ UINT64_MAX, 0, PIECES },
		{ UINT64_MAX, 0, 1ull << 32 }, /* the first: the right one */
	};

	(void)state;
	make("f", 600, 0);
	uint64_t f = client_find(&c, ro, "f");
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		static struct client d;
		struct snapshot_writer writer = { 0 };
		struct snapshot snapshot;
		struct fs_window other;
		struct err err = ERR_INIT;
		uint64_t end = PAGE;

		assert_int_equal(map(f, 0, 0, PIECE, FUSE_SETUPMAPPING_FLAG_READ), 0);
		assert_int_equal(fs_tables_save(c.server, &writer, -1, &end, &err), 0);
		/* The last section, with one piece: node, offset, index. */
		uint64_t *piece = (void *)(writer.data + writer.length - 24);
		assert_int_equal(piece[0], f);
		piece[0] = bad[i][0] == UINT64_MAX ? f : bad[i][0];
		piece[1] = bad[i][1];
		piece[2] = bad[i][2];
		assert_int_equal(snapshot_finish(&writer, &err), 0);
		assert_int_equal(snapshot_open(&snapshot, writer.data, writer.length, &err), 0);
		assert_int_equal(go_on(&d, &other, &snapshot, true, &err), -1);
		fs_server_destroy(d.server);
		fs_window_destroy(&other);
		free(writer.data);
	}
}

static void sizes_that_make_no_window_are_refused(void **state)
{
	const uint64_t sizes[] = { 0, 1, PAGE, FS_WINDOW_PIECE + PAGE, FS_WINDOW_MAX + FS_WINDOW_PIECE, UINT64_MAX };
	struct fs_window none;

	(void)state;
	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct err err = ERR_INIT;

		assert_int_equal(fs_window_create(&none, sizes[i], &err), -1);
		assert_int_equal(err.code, EINVAL);
		fs_window_destroy(&none);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_file_is_seen_and_goes_again),
		TEST(bounds_are_kept),
		TEST(only_files_of_read_only_shares_are_mapped),
		TEST(without_the_agreement_nothing_is_mapped),
		TEST(a_truncated_file_leaves_zeros_until_it_grows),
		TEST(a_thread_of_ours_survives_a_page_that_is_gone),
		TEST(behind_a_page_that_is_gone_there_are_zeros),
		TEST(a_mapping_that_fails_leaves_zeros),
		TEST(nothing_in_the_window_can_be_written_or_run),
		TEST(what_was_mapped_is_mapped_again),
		TEST(pieces_that_make_no_sense_are_refused),
		cmocka_unit_test(sizes_that_make_no_window_are_refused),
	};

	return cmocka_run_group_tests_name("fs_window", tests, NULL, NULL);
}
