/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/paths.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>
#include <stdlib.h>

/* A folder with a root and something outside of it that nobody must reach. */
struct tree {
	char path[64];
	int outside, root;
};

static int setup(void **state)
{
	struct tree *tree = calloc(1, sizeof *tree);

	strcpy(tree->path, "/tmp/test-paths-XXXXXX");
	assert_non_null(mkdtemp(tree->path));
	tree->outside = open(tree->path, O_PATH | O_DIRECTORY);
	assert_int_equal(mkdirat(tree->outside, "root", 0755), 0);
	assert_int_equal(mkdirat(tree->outside, "secret", 0755), 0);
	tree->root = openat(tree->outside, "root", O_PATH | O_DIRECTORY);
	assert_int_equal(mkdirat(tree->root, "dir", 0755), 0);
	assert_int_equal(symlinkat("../../../../../../../../", tree->root, "up"), 0);
	assert_int_equal(symlinkat("/", tree->root, "slash"), 0);
	assert_int_equal(symlinkat("/dir", tree->root, "absolute"), 0);
	assert_int_equal(symlinkat("dir", tree->root, "relative"), 0);
	assert_int_equal(symlinkat("/not/yet", tree->root, "dangling"), 0);
	assert_int_equal(symlinkat("../../secret/made", tree->root, "dangling-up"), 0);
	assert_int_equal(symlinkat("loop-b", tree->root, "loop-a"), 0);
	assert_int_equal(symlinkat("loop-a", tree->root, "loop-b"), 0);
	assert_int_equal(symlinkat("/dangling/deeper", tree->root, "chain"), 0);
	assert_int_equal(symlinkat("/proc/self/root", tree->root, "magic"), 0);
	close(openat(tree->root, "file", O_CREAT | O_WRONLY, 0644));
	*state = tree;
	return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	(void)status;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct tree *tree = *state;

	close(tree->outside);
	close(tree->root);
	nftw(tree->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(tree);
	return 0;
}

static bool exists(const struct tree *tree, const char *path)
{
	return faccessat(tree->outside, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is_same(int fd, const struct tree *tree, const char *path)
{
	struct stat a, b;
	bool same = fstat(fd, &a) == 0 && fstatat(tree->outside, path, &b, 0) == 0 && a.st_ino == b.st_ino;

	close(fd);
	return same;
}

static void test_path_open_links_stay_inside(void **state)
{
	static const struct {
		const char *path, *result;
	} rows[] = {
		{ "/", "root" },
		{ "", "root" },
		{ "/dir", "root/dir" },
		{ "dir", "root/dir" },
		{ "up", "root" },
		{ "up/dir", "root/dir" },
		{ "slash/dir", "root/dir" },
		{ "absolute", "root/dir" },
		{ "relative/..", "root" },
		{ "../../..", "root" },
		{ "/../dir", "root/dir" },
		{ "up/up/slash/file", "root/file" },
	};
	struct tree *tree = *state;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int fd = path_open(tree->root, rows[i].path, O_PATH);

		assert_true(fd >= 0);
		assert_true(is_same(fd, tree, rows[i].result));
	}
}

static void test_path_open_secret_is_not_found(void **state)
{
	static const char *const paths[] = { "../secret", "up/secret", "/../../secret", "dir/../../secret" };
	struct tree *tree = *state;

	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		assert_int_equal(path_open(tree->root, paths[i], O_PATH), -1);
		assert_int_equal(errno, ENOENT);
	}
}

static void test_path_make_directories_are_made(void **state)
{
	struct tree *tree = *state;

	assert_true(is_same(path_make(tree->root, "/a/b//c/", true), tree, "root/a/b/c"));
	assert_true(is_same(path_make(tree->root, "a/b/file", false), tree, "root/a/b/file"));
	assert_true(is_same(path_make(tree->root, "relative/new", true), tree, "root/dir/new"));
	assert_true(is_same(path_make(tree->root, "/", true), tree, "root"));
	/* What is there stays what it is. */
	assert_true(is_same(path_make(tree->root, "file", true), tree, "root/file"));
}

static void test_path_make_dangling_links_are_followed_inside(void **state)
{
	struct tree *tree = *state;

	assert_true(is_same(path_make(tree->root, "dangling/x", true), tree, "root/not/yet/x"));
	assert_true(is_same(path_make(tree->root, "chain", false), tree, "root/not/yet/deeper"));
	assert_true(is_same(path_make(tree->root, "dangling-up", true), tree, "root/secret/made"));
	assert_false(exists(tree, "secret/made"));
}

static void test_path_make_never_leaves_the_root(void **state)
{
	struct tree *tree = *state;

	assert_true(is_same(path_make(tree->root, "../../../escaped", true), tree, "root/escaped"));
	assert_true(is_same(path_make(tree->root, "up/secret/x", true), tree, "root/secret/x"));
	assert_false(exists(tree, "escaped"));
	assert_false(exists(tree, "secret/x"));
}

static void test_path_make_loops_and_magic_links_are_refused(void **state)
{
	struct tree *tree = *state;
	char *longest = malloc(PATH_MAX + 2);

	assert_int_equal(path_make(tree->root, "loop-a", true), -1);
	assert_int_equal(errno, ELOOP);
	assert_int_equal(path_make(tree->root, "file/below", true), -1);
	assert_int_equal(errno, ENOTDIR);
	/* There is no /proc in this root: it becomes a folder of that name, not the real one. */
	assert_true(is_same(path_make(tree->root, "magic/x", true), tree, "root/proc/self/root/x"));
	memset(longest, 'a', PATH_MAX + 1);
	longest[PATH_MAX + 1] = '\0';
	assert_int_equal(path_make(tree->root, longest, true), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	free(longest);
	/* With the machine's root as root the link is a magic one, and the kernel refuses. */
	int slash = open("/", O_PATH | O_DIRECTORY);
	assert_int_equal(path_open(slash, "/proc/self/root", O_PATH), -1);
	assert_int_equal(errno, ELOOP);
	close(slash);
}

static void test_path_make_parent_splits(void **state)
{
	struct tree *tree = *state;
	char name[NAME_MAX + 1];

	assert_true(is_same(path_make_parent(tree->root, "/dev/sub/null", name), tree, "root/dev/sub"));
	assert_string_equal(name, "null");
	assert_true(is_same(path_make_parent(tree->root, "x///", name), tree, "root"));
	assert_string_equal(name, "x");
	static const char *const refused[] = { "/", "", "/a/..", "..", "/." };
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		assert_int_equal(path_make_parent(tree->root, refused[i], name), -1);
		assert_int_equal(errno, EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_path_open_links_stay_inside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_path_open_secret_is_not_found, setup, teardown),
		cmocka_unit_test_setup_teardown(test_path_make_directories_are_made, setup, teardown),
		cmocka_unit_test_setup_teardown(test_path_make_dangling_links_are_followed_inside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_path_make_never_leaves_the_root, setup, teardown),
		cmocka_unit_test_setup_teardown(test_path_make_loops_and_magic_links_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_path_make_parent_splits, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
