/* SPDX-License-Identifier: Apache-2.0 */
/* Guest physical addresses at every edge: of a range, of the hole, of 64 bits. */
#include "common/err.h"
#include "vmm/guest_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

#define LARGE (GUEST_HOLE_START + (64ull << 20))

static void test_guest_memory_edges_are_kept(void **state)
{
	struct guest_memory memory;
	struct err err = ERR_INIT;
	static const struct {
		uint64_t address, length;
		bool good;
	} places[] = {
		{ 0, 1, true },
		{ 0, 0, false },
		{ 0, GUEST_HOLE_START, true },
		{ 0, GUEST_HOLE_START + 1, false },
		{ 0, UINT64_MAX, false },
		{ 1, UINT64_MAX, false },
		{ GUEST_HOLE_START - 1, 1, true },
		{ GUEST_HOLE_START - 1, 2, false },
		{ GUEST_HOLE_START, 1, false },
		{ GUEST_HOLE_END - 1, 1, false },
		{ GUEST_HOLE_END - 1, 2, false },
		{ GUEST_HOLE_END, 64 << 20, true },
		{ GUEST_HOLE_END, (64 << 20) + 1, false },
		{ GUEST_HOLE_END + (64 << 20) - 1, 1, true },
		{ GUEST_HOLE_END + (64 << 20), 1, false },
		{ GUEST_HOLE_END + (64 << 20), 0, false },
		{ UINT64_MAX, 1, false },
		{ UINT64_MAX, 2, false },
		{ UINT64_MAX, UINT64_MAX, false },
		{ 1ull << 63, 1ull << 63, false },
	};

	(void)state;
	assert_int_equal(guest_memory_create(&memory, LARGE, &err), 0);
	assert_int_equal(memory.count, 2);
	assert_int_equal(memory.size, LARGE);
	for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
		uint8_t *at = guest_memory_at(&memory, places[i].address, places[i].length);

		assert_int_equal(at != NULL, places[i].good);
		if (at && places[i].address < GUEST_HOLE_START)
			assert_ptr_equal(at, memory.ranges[0].host + places[i].address);
		if (at && places[i].address >= GUEST_HOLE_END)
			assert_ptr_equal(at, memory.ranges[1].host + (places[i].address - GUEST_HOLE_END));
	}
	guest_memory_destroy(&memory);
}

static void test_guest_memory_copies_all_or_nothing(void **state)
{
	struct guest_memory memory;
	struct err err = ERR_INIT;
	char out[8] = "unread";

	(void)state;
	assert_int_equal(guest_memory_create(&memory, 2 << 20, &err), 0);
	assert_int_equal(memory.count, 1);
	assert_true(guest_memory_write(&memory, (2 << 20) - 4, "last", 4));
	assert_false(guest_memory_write(&memory, (2 << 20) - 3, "last", 4));
	assert_true(guest_memory_read(&memory, (2 << 20) - 4, out, 4));
	assert_memory_equal(out, "last", 4);
	memcpy(out, "unread", 7);
	assert_false(guest_memory_read(&memory, (2 << 20) - 3, out, 4));
	assert_string_equal(out, "unread");
	guest_memory_destroy(&memory);
	assert_null(guest_memory_at(&memory, 0, 1));
}

/* What may come is memory as far as it was granted, and no further. */
static void test_guest_memory_growth_counts_as_far_as_granted(void **state)
{
	const uint64_t start = 6ull << 30, size = 64ull << 20;
	struct guest_memory memory;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(guest_memory_create(&memory, 2 << 20, &err), 0);
	assert_int_equal(guest_memory_reserve(&memory, start, size, &err), 0);
	assert_null(guest_memory_at(&memory, start, 1));
	atomic_store(&memory.granted, 4 << 20);
	assert_ptr_equal(guest_memory_at(&memory, start, 4 << 20), memory.growth.host);
	assert_null(guest_memory_at(&memory, start, (4 << 20) + 1));
	assert_null(guest_memory_at(&memory, start + (4 << 20) - 1, 2));
	assert_null(guest_memory_at(&memory, start - 1, 2));
	assert_null(guest_memory_at(&memory, start + (4 << 20), 1));
	assert_null(guest_memory_at(&memory, start, UINT64_MAX));
	assert_true(guest_memory_write(&memory, start + (4 << 20) - 4, "last", 4));
	assert_non_null(guest_memory_at(&memory, 0, 2 << 20));
	assert_int_equal(guest_memory_reserve(&memory, start + 1, size, &err), -1);
	guest_memory_destroy(&memory);
	assert_null(guest_memory_at(&memory, start, 1));
}

static void test_guest_memory_odd_sizes_are_refused(void **state)
{
	static const uint64_t sizes[] = { 0, 1, 4096, (2 << 20) - 1, (2 << 20) + 4096, UINT64_MAX, 1ull << 62 };
	struct guest_memory memory;

	(void)state;
	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct err err = ERR_INIT;

		assert_int_equal(guest_memory_create(&memory, sizes[i], &err), -1);
		assert_int_equal(memory.count, 0);
		assert_non_null(strstr(err.text, "guest memory"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guest_memory_edges_are_kept),
		cmocka_unit_test(test_guest_memory_copies_all_or_nothing),
		cmocka_unit_test(test_guest_memory_growth_counts_as_far_as_granted),
		cmocka_unit_test(test_guest_memory_odd_sizes_are_refused),
	};

	return cmocka_run_group_tests_name("guest_memory", tests, NULL, NULL);
}
