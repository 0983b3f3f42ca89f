/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest knows of a share, saved from one server and taken up by another. */
#include "tests/unit/fs_client.h"

#include "vmm/fs_tables.h"
#include "vmm/snapshot.h"

#include <sys/mman.h>

enum { MEMORY = 1 << 20 };

static struct client c, d;
static struct snapshot_writer writer;
static struct snapshot snapshot;
static int image = -1;

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
	free(writer.data);
	writer = (struct snapshot_writer){ 0 };
	close(image);
	return 0;
}

static void save(void)
{
	struct err err = ERR_INIT;
	uint64_t end = MEMORY;

	image = memfd_create("image", MFD_CLOEXEC);
	if (fs_tables_save(c.server, &writer, image, &end, &err) || snapshot_finish(&writer, &err))
		fail_msg("%s", err.text);
	assert_int_equal(snapshot_open(&snapshot, writer.data, writer.length, &err), 0);
}

/* The second server, of the same share; a worker in it is this thread. */
static int restore(bool changes_accepted, struct err *err)
{
	memset(&d, 0, offsetof(struct client, reply));
	memcpy(d.share, c.share, sizeof d.share);
	d.uid = c.uid;
	d.gid = c.gid;
	d.server = fs_server_create((struct fs_limits){ .nodes = 512, .handles = 128 }, -1, err);
	assert_non_null(d.server);
	assert_int_equal(fs_worker_init(&d.worker, d.server, err), 0);
	client_add_share(&d, "s", c.share, false);
	atomic_store(&d.server->minor, 41);
	return fs_tables_restore(d.server, &snapshot, image, changes_accepted, err);
}

static void drop(void)
{
	fs_worker_fini(&d.worker);
	fs_server_destroy(d.server);
}

static void test_fs_tables_numbers_mean_the_same_again(void **state)
{
	uint64_t directory, file, fh, dir_fh;
	struct fuse_open_in in = { 0 };
	struct fuse_attr attr;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(mkdir(client_path(&c, "sub"), 0755), 0);
	client_put_file(client_path(&c, "sub/file"), "content");
	directory = client_find(&c, c.top, "sub");
	file = client_find(&c, directory, "file");
	client_find(&c, directory, "file"); /* known twice */
	assert_int_equal(client_open(&c, file, O_RDWR, &fh), 0);
	assert_int_equal(client_call(&c, FUSE_OPENDIR, directory, &in, sizeof in), 0);
	dir_fh = ((struct fuse_open_out *)(void *)c.reply)->fh;
	save();

	assert_int_equal(restore(false, &err), 0);
	assert_int_equal(client_getattr(&d, file, &attr), 0);
	assert_int_equal(attr.size, 7);
	assert_int_equal(client_read(&d, file, fh, 0, 100), 0);
	assert_memory_equal(d.reply, "content", 7);
	assert_int_equal(client_write(&d, file, fh, 0, "C"), 0);
	assert_string_equal(client_get_file(client_path(&c, "sub/file")), "Content");
	assert_int_equal(client_release(&d, directory, dir_fh, true), 0);
	assert_int_equal(client_find(&d, directory, "file"), file); /* a look-up finds the node that is known */
	client_forget(&d, file, 2);
	assert_int_equal(client_getattr(&d, file, &attr), 0);
	assert_int_equal(client_release(&d, file, fh, false), 0);
	client_forget(&d, file, 1);
	assert_int_equal(client_getattr(&d, file, &attr), ESTALE);
	drop();
}

static void test_fs_tables_new_numbers_are_new(void **state)
{
	uint64_t first, second;
	struct err err = ERR_INIT;

	(void)state;
	client_put_file(client_path(&c, "a"), "a");
	client_put_file(client_path(&c, "b"), "b");
	first = client_find(&c, c.top, "a");
	second = client_find(&c, c.top, "b");
	client_forget(&c, first, 1);
	save();
	assert_int_equal(restore(false, &err), 0);
	uint64_t again = client_find(&d, c.top, "a");
	assert_true(again != first && again != second && again != c.top);
	drop();
}

static void test_fs_tables_a_file_without_a_name_is_carried(void **state)
{
	uint64_t file, fh;
	struct fuse_attr attr;
	struct stat st;
	struct err err = ERR_INIT;

	(void)state;
	client_put_file(client_path(&c, "gone"), "still here");
	assert_int_equal(truncate(client_path(&c, "gone"), 300000), 0);
	assert_int_equal(chmod(client_path(&c, "gone"), 0640), 0);
	file = client_find(&c, c.top, "gone");
	assert_int_equal(client_open(&c, file, O_RDWR, &fh), 0);
	assert_int_equal(unlink(client_path(&c, "gone")), 0);
	save();
	assert_int_equal(fstat(image, &st), 0);
	assert_true(st.st_size >= MEMORY + 300000);

	assert_int_equal(restore(false, &err), 0);
	assert_int_equal(client_getattr(&d, file, &attr), 0);
	assert_int_equal(attr.size, 300000);
	assert_int_equal(attr.mode, S_IFREG | 0640);
	assert_int_equal(attr.nlink, 0);
	assert_int_equal(client_read(&d, file, fh, 0, 10), 0);
	assert_memory_equal(d.reply, "still here", 10);
	assert_int_equal(client_write(&d, file, fh, 299990, "the end."), 0);
	assert_int_not_equal(access(client_path(&c, "gone"), F_OK), 0);
	drop();

	/* A damaged image is seen. */
	assert_int_equal(pwrite(image, "X", 1, MEMORY + 3), 1);
	assert_int_equal(restore(false, &err), -1);
	assert_non_null(strstr(err.text, "checksum of a file without a name is wrong"));
	drop();
}

static void test_fs_tables_changes_are_refused_or_accepted(void **state)
{
	static const char *const names[] = { "longer", "touched", "removed", "replaced" };
	uint64_t nodes[4];
	struct fuse_attr attr;

	(void)state;
	for (unsigned changed = 0; changed < 4; changed++) {
		struct err err = ERR_INIT;
		struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };

		for (unsigned i = 0; i < 4; i++) {
			client_put_file(client_path(&c, "%s%u", names[i], changed), "x");
			char name[32];

			snprintf(name, sizeof name, "%s%u", names[i], changed);
			nodes[i] = client_find(&c, c.top, name);
		}
		free(writer.data);
		writer = (struct snapshot_writer){ 0 };
		save();
		const char *path = client_path(&c, "%s%u", names[changed], changed);
		if (changed == 0) {
			client_put_file(path, "xy");
		} else if (changed == 1) {
			assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
		} else {
			assert_int_equal(unlink(path), 0);
			if (changed == 3)
				assert_int_equal(symlink("/etc/passwd", path), 0);
		}
		assert_int_equal(restore(false, &err), -1);
		assert_non_null(strstr(err.text, names[changed]));
		assert_non_null(strstr(err.text, "since the checkpoint"));
		drop();
		err = (struct err)ERR_INIT;
		assert_int_equal(restore(true, &err), 0);
		assert_int_equal(client_getattr(&d, nodes[changed], &attr), changed < 2 ? 0 : ESTALE);
		assert_int_equal(client_getattr(&d, nodes[(changed + 1) % 4], &attr), 0);
		drop();
		/* For the next turn everything is as it was saved. */
		if (changed >= 2)
			unlink(path);
		for (unsigned i = 0; i < 4; i++)
			client_forget(&c, nodes[i], 100);
		close(image);
	}
	image = -1;
}

static void set_mtime(const char *path, time_t seconds, long nanoseconds)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = seconds, .tv_nsec = nanoseconds } };

	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* Podman's checkpoints are archives of tar's, whose times have no fractions. */
static void test_fs_tables_times_are_compared_as_far_as_an_archive_keeps_them(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	client_put_file(client_path(&c, "archived"), "x");
	client_put_file(client_path(&c, "empty"), "");
	set_mtime(client_path(&c, "archived"), 1000, 500000000);
	client_find(&c, c.top, "archived");
	client_find(&c, c.top, "empty");
	save();
	set_mtime(client_path(&c, "empty"), 1, 1); /* nothing can be different in it */
	set_mtime(client_path(&c, "archived"), 1000, 0);
	assert_int_equal(restore(false, &err), 0);
	drop();
	set_mtime(client_path(&c, "archived"), 1000, 1);
	assert_int_equal(restore(false, &err), -1);
	drop();
	set_mtime(client_path(&c, "archived"), 1001, 0);
	assert_int_equal(restore(false, &err), -1);
	drop();
}

/* A request with two nodes, of which the second is gone: an answer, and not the end of the monitor. */
static void test_fs_tables_a_second_node_that_is_gone_is_stale(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	client_put_file(client_path(&c, "here"), "here");
	client_put_file(client_path(&c, "gone"), "gone");
	assert_int_equal(mkdir(client_path(&c, "dir"), 0755), 0);
	uint64_t here = client_find(&c, c.top, "here"), gone = client_find(&c, c.top, "gone"),
		 dir = client_find(&c, c.top, "dir");
	save();
	assert_int_equal(unlink(client_path(&c, "gone")), 0);
	assert_int_equal(rmdir(client_path(&c, "dir")), 0);
	assert_int_equal(restore(true, &err), 0);

	struct fuse_link_in link_in = { .oldnodeid = gone };
	struct fuse_rename_in rename_in = { .newdir = dir };
	struct fuse_copy_file_range_in copy_in = { .nodeid_out = gone, .len = 4 };
	assert_int_equal(client_names(&d, FUSE_LINK, c.top, &link_in, sizeof link_in, "new", NULL), ESTALE);
	assert_int_equal(client_names(&d, FUSE_RENAME, c.top, &rename_in, sizeof rename_in, "here", "new"), ESTALE);
	d.server->openless = true;
	assert_int_equal(client_call(&d, FUSE_COPY_FILE_RANGE, here, &copy_in, sizeof copy_in), ESTALE);
	drop();
}

/* A parent that was replaced by a link must not lead out of the share, or anywhere else. */
static void test_fs_tables_links_are_not_followed(void **state)
{
	uint64_t directory;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(mkdir(client_path(&c, "dir"), 0755), 0);
	client_put_file(client_path(&c, "dir/file"), "inside");
	directory = client_find(&c, c.top, "dir");
	client_find(&c, directory, "file");
	save();
	assert_int_equal(unlink(client_path(&c, "dir/file")), 0);
	assert_int_equal(rmdir(client_path(&c, "dir")), 0);
	assert_int_equal(symlink("../outside", client_path(&c, "dir")), 0);
	assert_int_equal(restore(false, &err), -1);
	drop();
	unlink(client_path(&c, "dir"));
}

static void test_fs_tables_a_missing_share_is_refused(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	client_add_share(&c, "m0", c.outside, true);
	save();
	assert_int_equal(restore(false, &err), -1);
	assert_non_null(strstr(err.text, "share m0, which is missing"));
	drop();
}

/* Every byte of the tables, one after the other: refused, or something that does no harm. */
static void test_fs_tables_damaged_ones_do_no_harm(void **state)
{
	uint64_t file, fh;
	struct fuse_attr attr;

	(void)state;
	client_put_file(client_path(&c, "file"), "content");
	file = client_find(&c, c.top, "file");
	assert_int_equal(client_open(&c, file, O_RDONLY, &fh), 0);
	save();
	for (size_t at = 32; at < writer.length; at++) {
		struct err err = ERR_INIT;
		uint8_t was = writer.data[at];
		const uint64_t zero = 0;

		writer.data[at] = was ^ 0x81;
		/* The checksum is right again: nothing but the content is wrong. */
		uint64_t sum = snapshot_hash(SNAPSHOT_HASH_INIT, writer.data + 32, writer.length - 32);
		memcpy(writer.data + 24, &zero, sizeof zero);
		memcpy(writer.data + 24, &sum, sizeof sum);
		if (snapshot_open(&snapshot, writer.data, writer.length, &err) == 0) {
			if (restore(true, &err) == 0)
				client_getattr(&d, file, &attr);
			drop();
		}
		writer.data[at] = was;
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(test_fs_tables_numbers_mean_the_same_again),
		TEST(test_fs_tables_new_numbers_are_new),
		TEST(test_fs_tables_a_file_without_a_name_is_carried),
		TEST(test_fs_tables_changes_are_refused_or_accepted),
		TEST(test_fs_tables_times_are_compared_as_far_as_an_archive_keeps_them),
		TEST(test_fs_tables_a_second_node_that_is_gone_is_stale),
		TEST(test_fs_tables_links_are_not_followed),
		TEST(test_fs_tables_a_missing_share_is_refused),
		TEST(test_fs_tables_damaged_ones_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
