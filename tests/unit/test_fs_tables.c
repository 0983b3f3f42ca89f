/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers a guest holds, and what stands behind them. */
#include "tests/unit/fs_client.h"

#include "vmm/fs_ids.h"

static void ids_first_is_one(void **state)
{
	struct fs_ids ids;
	int object;

	(void)state;
	fs_ids_init(&ids, 10);
	assert_int_equal(fs_ids_add(&ids, &object), 1);
	fs_ids_fini(&ids);
}

static void ids_given_back_is_not_found_again(void **state)
{
	struct fs_ids ids;
	int a, b;

	(void)state;
	fs_ids_init(&ids, 10);
	uint64_t first = fs_ids_add(&ids, &a);
	fs_ids_remove(&ids, first);
	uint64_t second = fs_ids_add(&ids, &b);
	assert_int_not_equal(first, second);
	assert_int_equal((uint32_t)first, (uint32_t)second); /* the same slot */
	assert_null(fs_ids_find(&ids, first));
	assert_ptr_equal(fs_ids_find(&ids, second), &b);
	fs_ids_fini(&ids);
}

static void ids_never_given_out_are_not_found(void **state)
{
	static const uint64_t never[] = { 0, 2, 64, 65, UINT32_MAX, 1ull << 32, (1ull << 32) + 1, UINT64_MAX };
	struct fs_ids ids;
	int object;

	(void)state;
	fs_ids_init(&ids, 10);
	fs_ids_add(&ids, &object);
	for (size_t i = 0; i < sizeof never / sizeof *never; i++)
		assert_null(fs_ids_find(&ids, never[i]));
	fs_ids_fini(&ids);
}

static void ids_at_the_bound_is_refused(void **state)
{
	struct fs_ids ids;
	int object;

	(void)state;
	fs_ids_init(&ids, 1000);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_not_equal(fs_ids_add(&ids, &object), 0);
	assert_int_equal(fs_ids_add(&ids, &object), 0);
	assert_int_equal(errno, ENFILE);
	fs_ids_remove(&ids, 500);
	assert_int_not_equal(fs_ids_add(&ids, &object), 0);
	fs_ids_fini(&ids);
}

static struct fs_found found_of(const char *path)
{
	struct fs_found found = { .fd = open(path, O_PATH | O_CLOEXEC), .key = { 1, 2, 3 }, .type = S_IFDIR };

	assert_true(found.fd >= 0);
	return found;
}

static void nodes_same_object_is_one_node(void **state)
{
	struct fs_nodes nodes;
	struct fs_found a = found_of("/"), b = found_of("/");
	unsigned before = client_open_files();

	(void)state;
	assert_int_equal(fs_nodes_init(&nodes, 10), 0);
	uint64_t id = fs_nodes_look_up(&nodes, &a, NULL);
	assert_int_equal(fs_nodes_look_up(&nodes, &b, NULL), id);
	assert_int_equal(fs_nodes_count(&nodes), 2); /* with the root */
	assert_int_equal(client_open_files(), before - 1);
	fs_nodes_forget(&nodes, id, 1);
	assert_int_equal(fs_nodes_count(&nodes), 2);
	fs_nodes_forget(&nodes, id, 1);
	assert_int_equal(fs_nodes_count(&nodes), 1);
	assert_int_equal(client_open_files(), before - 2);
	fs_nodes_fini(&nodes);
}

static void nodes_forgotten_while_held_lives_on(void **state)
{
	struct fs_nodes nodes;
	struct fs_found found = found_of("/"), again = found_of("/");
	struct fs_node *node, *other;

	(void)state;
	assert_int_equal(fs_nodes_init(&nodes, 10), 0);
	uint64_t id = fs_nodes_look_up(&nodes, &found, &node);
	fs_nodes_forget(&nodes, id, UINT64_MAX);
	assert_null(fs_nodes_get(&nodes, id));
	assert_true(fcntl(node->fd, F_GETFD) >= 0);
	/* Found anew meanwhile: a second node, and the first one must not come back beside it. */
	uint64_t second = fs_nodes_look_up(&nodes, &again, &other);
	assert_int_not_equal(second, id);
	assert_ptr_not_equal(node, other);
	assert_int_equal(fs_nodes_count_lookup(&nodes, node), 0);
	assert_int_equal(errno, ESTALE);
	fs_nodes_put(&nodes, other);
	fs_nodes_forget(&nodes, second, 1);
	uint64_t third = fs_nodes_count_lookup(&nodes, node);
	assert_int_not_equal(third, 0);
	fs_nodes_put(&nodes, node);
	assert_int_equal(fs_nodes_count(&nodes), 2);
	fs_nodes_fini(&nodes);
}

static void nodes_root_is_never_forgotten(void **state)
{
	struct fs_nodes nodes;

	(void)state;
	assert_int_equal(fs_nodes_init(&nodes, 10), 0);
	fs_nodes_forget(&nodes, FS_ROOT_ID, 1000);
	fs_nodes_forget_all(&nodes);
	struct fs_node *root = fs_nodes_get(&nodes, FS_ROOT_ID);
	assert_ptr_equal(root, nodes.root);
	fs_nodes_put(&nodes, root);
	fs_nodes_fini(&nodes);
}

static void nodes_many_are_all_found(void **state)
{
	struct fs_nodes nodes;
	static uint64_t ids[5000];

	(void)state;
	assert_int_equal(fs_nodes_init(&nodes, 6000), 0);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 5000; i++) {
			struct fs_found found = { .fd = -1, .key = { i % 3, i % 7, i }, .type = S_IFREG };
			uint64_t id = fs_nodes_look_up(&nodes, &found, NULL);

			assert_int_not_equal(id, 0);
			if (round)
				assert_int_equal(id, ids[i]);
			ids[i] = id;
		}
	}
	assert_int_equal(fs_nodes_count(&nodes), 5001);
	for (unsigned i = 0; i < 5000; i++)
		fs_nodes_forget(&nodes, ids[i], 2);
	assert_int_equal(fs_nodes_count(&nodes), 1);
	fs_nodes_fini(&nodes);
}

static void handles_released_in_use_is_closed_last(void **state)
{
	struct fs_nodes nodes;
	struct fs_handles handles;
	struct fs_found found = found_of("/");
	struct fs_node *node;

	(void)state;
	assert_int_equal(fs_nodes_init(&nodes, 10), 0);
	fs_handles_init(&handles, &nodes, 1);
	fs_nodes_look_up(&nodes, &found, &node);
	int fd = open("/", O_RDONLY | O_CLOEXEC);
	uint64_t id = fs_handles_add(&handles, node, fd, FS_HANDLE_DIRECTORY);
	assert_int_not_equal(id, 0);
	/* The bound, and what was meant to be entered is closed. */
	unsigned before = client_open_files();
	assert_int_equal(fs_handles_add(&handles, node, open("/", O_RDONLY | O_CLOEXEC), FS_HANDLE_DIRECTORY), 0);
	assert_int_equal(errno, ENFILE);
	assert_int_equal(client_open_files(), before);
	/* Of another kind, or on another node: none. */
	assert_null(fs_handles_get(&handles, id, node, FS_HANDLE_FILE));
	assert_null(fs_handles_get(&handles, id, nodes.root, FS_HANDLE_DIRECTORY));
	struct fs_handle *handle = fs_handles_get(&handles, id, node, FS_HANDLE_DIRECTORY);
	assert_non_null(handle);
	assert_true(fs_handles_release(&handles, id, node, FS_HANDLE_DIRECTORY));
	assert_false(fs_handles_release(&handles, id, node, FS_HANDLE_DIRECTORY));
	assert_true(fcntl(fd, F_GETFD) >= 0);
	fs_handles_put(&handles, handle);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	fs_nodes_put(&nodes, node);
	fs_handles_fini(&handles);
	fs_nodes_fini(&nodes);
}

static void shares_bad_ones_are_refused_by_name(void **state)
{
	struct fs_shares shares;
	struct err err = ERR_INIT;

	(void)state;
	fs_shares_init(&shares);
	static const char *const names[] = { "", ".", "..", "a/b",
					     "0123456789012345678901234567890123456789012345678901234567890123" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		assert_int_equal(fs_shares_add(&shares, names[i], open("/", O_PATH | O_CLOEXEC), false, &err), -1);
	assert_int_equal(fs_shares_add(&shares, "x", -1, false, &err), -1);
	assert_non_null(strstr(err.text, "\"x\""));
	assert_int_equal(fs_shares_add(&shares, "null", open("/dev/null", O_PATH | O_CLOEXEC), false, &err), -1);
	assert_non_null(strstr(err.text, "neither a directory nor a file, a fifo or a socket"));
	assert_int_equal(fs_shares_add(&shares, "a", open("/", O_PATH | O_CLOEXEC), false, &err), 0);
	assert_int_equal(fs_shares_add(&shares, "a", open("/", O_PATH | O_CLOEXEC), false, &err), -1);
	assert_int_equal(err.code, EEXIST);
	assert_int_equal(fs_shares_remove(&shares, "b", &err), -1);
	assert_int_equal(err.code, ENOENT);
	assert_int_equal(fs_shares_remove(&shares, "a", &err), 0);
	assert_null(fs_shares_find(&shares, "a"));
	fs_shares_fini(&shares);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_first_is_one),
		cmocka_unit_test(ids_given_back_is_not_found_again),
		cmocka_unit_test(ids_never_given_out_are_not_found),
		cmocka_unit_test(ids_at_the_bound_is_refused),
		cmocka_unit_test(nodes_same_object_is_one_node),
		cmocka_unit_test(nodes_forgotten_while_held_lives_on),
		cmocka_unit_test(nodes_root_is_never_forgotten),
		cmocka_unit_test(nodes_many_are_all_found),
		cmocka_unit_test(handles_released_in_use_is_closed_last),
		cmocka_unit_test(shares_bad_ones_are_refused_by_name),
	};

	return cmocka_run_group_tests_name("fs_tables", tests, NULL, NULL);
}
