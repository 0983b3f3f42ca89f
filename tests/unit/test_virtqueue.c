/* SPDX-License-Identifier: Apache-2.0 */
/* Every rule of a split queue, broken on purpose, and the arithmetic of indexes that wrap. */
#include "tests/unit/virtq_driver.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { SIZE = 8 };

static const struct virtio_device_ops plain_ops = { .name = "plain", .queue_size = VIRTQ_SIZE_MAX };

struct fixture {
	struct virtio_device device;
	struct driver driver;
	struct virtqueue *queue;
	struct virtq_chain chain;
	uint64_t buffer; /* 8 KiB of guest memory */
};

static struct fixture *start(void **state, uint16_t size, bool event_idx)
{
	struct fixture *f = *state;

	assert_true(driver_queue_start(&f->driver, 0, size, event_idx));
	return f;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	virtio_device_init(&f->device, &plain_ops, 1);
	driver_init(&f->driver, &f->device);
	f->queue = &f->device.queues[0];
	f->buffer = driver_alloc(&f->driver, 8192);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	driver_stop(&f->driver);
	virtio_device_fini(&f->device);
	free(f);
	return 0;
}

static void test_virtqueue_empty_yields_nothing(void **state)
{
	struct fixture *f = start(state, SIZE, false);

	assert_int_equal(virtqueue_pop(f->queue, &f->chain), 0);
	assert_false(virtqueue_should_signal(f->queue));
}

static void test_virtqueue_chain_readable_then_writable_is_yielded(void **state)
{
	struct fixture *f = start(state, SIZE, false);
	uint16_t head = driver_put(&f->driver, 0, 3,
				   (struct driver_segment[]){ { f->buffer, 16, false },
							      { f->buffer + 32, 1, false },
							      { f->buffer + 64, 100, true } });

	assert_int_equal(virtqueue_pop(f->queue, &f->chain), 1);
	assert_int_equal(f->chain.head, head);
	assert_int_equal(f->chain.readable_count, 2);
	assert_int_equal(f->chain.writable_count, 1);
	assert_int_equal(f->chain.readable_length, 17);
	assert_int_equal(f->chain.writable_length, 100);
	assert_ptr_equal(virtq_chain_writable(&f->chain)->iov_base, driver_at(&f->driver, f->buffer + 64));
	virtqueue_push(f->queue, f->chain.head, 100);

	uint32_t id, written;

	assert_true(driver_take(&f->driver, 0, &id, &written));
	assert_int_equal(id, head);
	assert_int_equal(written, 100);
	assert_false(driver_take(&f->driver, 0, &id, &written));
	assert_int_equal(virtqueue_pop(f->queue, &f->chain), 0);
}

static void test_virtqueue_chain_through_indirect_table_is_yielded(void **state)
{
	struct fixture *f = start(state, SIZE, false);
	struct driver_segment segments[20];

	for (unsigned i = 0; i < 20; i++)
		segments[i] = (struct driver_segment){ f->buffer + i, 1, i >= 10 };
	driver_put_indirect(&f->driver, 0, 20, segments);
	assert_int_equal(virtqueue_pop(f->queue, &f->chain), 1);
	assert_int_equal(f->chain.readable_count, 10);
	assert_int_equal(f->chain.writable_count, 10);
}

static void test_virtqueue_indirect_table_after_plain_descriptor_is_yielded(void **state)
{
	struct fixture *f = start(state, SIZE, false);
	struct driver *d = &f->driver;
	uint64_t table = driver_alloc(d, 16);

	*(struct driver_descriptor *)driver_at(d, table) =
		(struct driver_descriptor){ f->buffer + 64, 8, DRIVER_DESC_WRITE, 0 };
	driver_set_descriptor(d, 0, 0, (struct driver_descriptor){ f->buffer, 8, DRIVER_DESC_NEXT, 1 });
	/* 2.7.5.3.2: the device ignores WRITE on the descriptor of the table */
	driver_set_descriptor(d, 0, 1,
			      (struct driver_descriptor){ table, 16, DRIVER_DESC_INDIRECT | DRIVER_DESC_WRITE, 0 });
	driver_offer(d, 0, 0);
	assert_int_equal(virtqueue_pop(f->queue, &f->chain), 1);
	assert_int_equal(f->chain.readable_count, 1);
	assert_int_equal(f->chain.writable_count, 1);
}

static void test_virtqueue_longest_chain_is_yielded_and_one_more_refused(void **state)
{
	struct fixture *f = start(state, 512, false);
	struct driver_segment segments[VIRTQ_CHAIN_MAX + 1];

	for (unsigned i = 0; i <= VIRTQ_CHAIN_MAX; i++)
		segments[i] = (struct driver_segment){ f->buffer, 1, true };
	driver_put_indirect(&f->driver, 0, VIRTQ_CHAIN_MAX, segments);
	assert_int_equal(virtqueue_pop(f->queue, &f->chain), 1);
	assert_int_equal(f->chain.writable_count, VIRTQ_CHAIN_MAX);
	driver_put(&f->driver, 0, VIRTQ_CHAIN_MAX + 1, segments);
	assert_int_equal(virtqueue_pop(f->queue, &f->chain), -1);
}

/* A list of up to four descriptors in the ring, two in a table at TABLE, and why it is refused. */
#define TABLE 0x80000
#define BUFFER DRIVER_HEAP

static const struct refusal {
	const char *name;
	struct driver_descriptor ring[4], table[2];
	uint16_t head;
	const char *why;
} refusals[] = {
	{ "head out of range", .head = SIZE, .why = "a head is out of range" },
	{ "link out of range", .ring = { { BUFFER, 1, 1, SIZE } }, .why = "a link is out of range" },
	{ "link far out of range", .ring = { { BUFFER, 1, 1, 65535 } }, .why = "a link is out of range" },
	{ "points at itself", .ring = { { BUFFER, 1, 1, 0 } }, .why = "a chain is too long, or a circle" },
	{ "circle of two", .ring = { { BUFFER, 1, 1, 1 }, { BUFFER, 1, 1, 0 } },
	  .why = "a chain is too long, or a circle" },
	{ "empty segment", .ring = { { BUFFER, 0, 0, 0 } }, .why = "a segment is empty" },
	{ "segment past the end", .ring = { { DRIVER_MEMORY - 1, 2, 0, 0 } }, .why = "a segment is not in memory" },
	{ "segment that wraps", .ring = { { UINT64_MAX, 2, 0, 0 } }, .why = "a segment is not in memory" },
	{ "segment in the hole", .ring = { { GUEST_HOLE_START, 4, 0, 0 } }, .why = "a segment is not in memory" },
	{ "readable after writable", .ring = { { BUFFER, 1, 3, 1 }, { BUFFER, 1, 0, 0 } },
	  .why = "a readable segment follows a writable one" },
	{ "too many bytes", .ring = { { BUFFER, 3 << 20, 1, 1 }, { BUFFER, (1 << 20) + 1, 0, 0 } },
	  .why = "a chain has too many bytes" },
	{ "indirect with next", .ring = { { TABLE, 16, 5, 1 } }, .table = { { BUFFER, 1, 0, 0 } },
	  .why = "a descriptor is indirect and has a next" },
	{ "indirect in indirect", .ring = { { TABLE, 32, 4, 0 } }, .table = { { TABLE, 16, 4, 0 } },
	  .why = "an indirect table holds another" },
	{ "table empty", .ring = { { TABLE, 0, 4, 0 } }, .why = "an indirect table has an odd length" },
	{ "table of odd length", .ring = { { TABLE, 24, 4, 0 } }, .why = "an indirect table has an odd length" },
	{ "table not in memory", .ring = { { DRIVER_MEMORY - 16, 32, 4, 0 } },
	  .why = "an indirect table is not in memory" },
	{ "table link out of range", .ring = { { TABLE, 32, 4, 0 } }, .table = { { BUFFER, 1, 1, 2 } },
	  .why = "a link is out of range" },
	{ "table circle", .ring = { { TABLE, 32, 4, 0 } }, .table = { { BUFFER, 1, 1, 1 }, { BUFFER, 1, 1, 0 } },
	  .why = "a chain is too long, or a circle" },
	{ "table readable after ring writable", .ring = { { BUFFER, 1, 3, 1 }, { TABLE, 16, 4, 0 } },
	  .table = { { BUFFER, 1, 0, 0 } }, .why = "a readable segment follows a writable one" },
};

static void test_virtqueue_broken_rules_are_refused(void **state)
{
	for (unsigned i = 0; i < sizeof refusals / sizeof *refusals; i++) {
		const struct refusal *r = &refusals[i];
		struct fixture *f = start(state, SIZE, false);

		for (uint16_t slot = 0; slot < 4; slot++)
			driver_set_descriptor(&f->driver, 0, slot, r->ring[slot]);
		memcpy(driver_at(&f->driver, TABLE), r->table, sizeof r->table);
		driver_offer(&f->driver, 0, r->head);
		print_message("  %s\n", r->name);
		assert_int_equal(virtqueue_pop(f->queue, &f->chain), -1);
		assert_true(f->queue->broken);
		assert_string_equal(f->queue->why, r->why);
		/* ... and stays so, even if the driver now behaves */
		driver_set_descriptor(&f->driver, 0, 0, (struct driver_descriptor){ BUFFER, 1, 0, 0 });
		driver_offer(&f->driver, 0, 0);
		assert_int_equal(virtqueue_pop(f->queue, &f->chain), -1);
	}
}

static void test_virtqueue_available_index_that_jumps_is_refused(void **state)
{
	struct fixture *f = start(state, SIZE, false);

	driver_set_avail_index(&f->driver, 0, SIZE + 1);
	assert_int_equal(virtqueue_pop(f->queue, &f->chain), -1);
	assert_string_equal(f->queue->why, "the available index jumped");
	f = start(state, SIZE, false);
	driver_set_avail_index(&f->driver, 0, 65535);
	assert_int_equal(virtqueue_pop(f->queue, &f->chain), -1);
}

static void test_virtqueue_indexes_wrap_around(void **state)
{
	for (int event_idx = 0; event_idx < 2; event_idx++) {
		struct fixture *f = start(state, SIZE, event_idx);
		struct driver_segment segment = { f->buffer, 4, true };
		unsigned signals = 0;

		for (unsigned i = 0; i < 3 * 65536; i++) {
			uint16_t head = driver_put(&f->driver, 0, 1, &segment);
			uint32_t id, written;

			assert_int_equal(virtqueue_pop(f->queue, &f->chain), 1);
			assert_int_equal(virtqueue_pop(f->queue, &(struct virtq_chain){ 0 }), 0);
			virtqueue_push(f->queue, f->chain.head, i);
			driver_set_used_event(&f->driver, 0, f->driver.queues[0].used_index);
			signals += virtqueue_should_signal(f->queue);
			assert_true(driver_take(&f->driver, 0, &id, &written));
			assert_int_equal(id, head);
			assert_int_equal(written, i);
		}
		assert_int_equal(signals, 3 * 65536);
	}
}

static void test_virtqueue_unpop_yields_the_same_chain_again(void **state)
{
	struct fixture *f = start(state, SIZE, false);
	uint16_t head = driver_put(&f->driver, 0, 1, &(struct driver_segment){ f->buffer, 4, true });

	assert_int_equal(virtqueue_pop(f->queue, &f->chain), 1);
	virtqueue_unpop(f->queue);
	assert_int_equal(virtqueue_pop(f->queue, &f->chain), 1);
	assert_int_equal(f->chain.head, head);
	assert_int_equal(virtqueue_pop(f->queue, &f->chain), 0);
}

static void test_virtqueue_flags_suppress_interrupts(void **state)
{
	struct fixture *f = start(state, SIZE, false);
	struct driver_segment segment = { f->buffer, 4, true };

	for (int wanted = 0; wanted < 2; wanted++) {
		driver_set_avail_flags(&f->driver, 0, !wanted);
		driver_put(&f->driver, 0, 1, &segment);
		assert_int_equal(virtqueue_pop(f->queue, &f->chain), 1);
		virtqueue_push(f->queue, f->chain.head, 0);
		assert_int_equal(virtqueue_should_signal(f->queue), wanted);
		assert_false(virtqueue_should_signal(f->queue));
	}
}

static void test_virtqueue_event_index_suppresses_interrupts(void **state)
{
	struct fixture *f = start(state, SIZE, true);
	struct driver_segment segment = { f->buffer, 4, true };

	/* The driver wants to hear of the third used entry. */
	driver_set_used_event(&f->driver, 0, 2);
	for (int i = 0; i < 5; i++) {
		driver_put(&f->driver, 0, 1, &segment);
		assert_int_equal(virtqueue_pop(f->queue, &f->chain), 1);
		virtqueue_push(f->queue, f->chain.head, 0);
		assert_int_equal(virtqueue_should_signal(f->queue), i == 2);
	}
	/* A batch that passes the index counts. */
	driver_set_used_event(&f->driver, 0, 6);
	for (int i = 0; i < 4; i++) {
		driver_put(&f->driver, 0, 1, &segment);
		assert_int_equal(virtqueue_pop(f->queue, &f->chain), 1);
		virtqueue_push(f->queue, f->chain.head, 0);
	}
	assert_true(virtqueue_should_signal(f->queue));
	assert_false(virtqueue_should_signal(f->queue));
}

static void test_virtqueue_kick_wish_by_flag(void **state)
{
	struct fixture *f = start(state, SIZE, false);

	virtqueue_disable_kick(f->queue);
	assert_int_equal(driver_used_flags(&f->driver, 0), 1);
	driver_put(&f->driver, 0, 1, &(struct driver_segment){ f->buffer, 4, true });
	assert_true(virtqueue_enable_kick(f->queue));
	assert_int_equal(driver_used_flags(&f->driver, 0), 0);
	assert_int_equal(virtqueue_pop(f->queue, &f->chain), 1);
	assert_false(virtqueue_enable_kick(f->queue));
}

static void test_virtqueue_kick_wish_by_event_index(void **state)
{
	struct fixture *f = start(state, SIZE, true);
	struct driver_segment segment = { f->buffer, 4, true };

	for (int i = 0; i < 3; i++)
		driver_put(&f->driver, 0, 1, &segment);
	assert_int_equal(virtqueue_pop(f->queue, &f->chain), 1);
	assert_int_equal(virtqueue_pop(f->queue, &f->chain), 1);
	assert_int_equal(virtqueue_pop(f->queue, &f->chain), 1);
	assert_int_equal(driver_avail_event(&f->driver, 0), 0);
	assert_int_equal(virtqueue_pop(f->queue, &f->chain), 0);
	assert_int_equal(driver_avail_event(&f->driver, 0), 3);
	virtqueue_disable_kick(f->queue);
	driver_put(&f->driver, 0, 1, &segment);
	assert_int_equal(virtqueue_pop(f->queue, &f->chain), 1);
	assert_int_equal(virtqueue_pop(f->queue, &f->chain), 0);
	assert_int_equal(driver_avail_event(&f->driver, 0), 3);
	assert_false(virtqueue_enable_kick(f->queue));
	assert_int_equal(driver_avail_event(&f->driver, 0), 4);
}

static void test_virtqueue_place_outside_memory_or_unaligned_is_refused(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint64_t desc, avail, used;
		uint16_t size;
		bool good;
	} places[] = {
		{ 0x1000, 0x2000, 0x3000, 256, true },
		{ 0x1008, 0x2000, 0x3000, 256, false },
		{ 0x1000, 0x2001, 0x3000, 256, false },
		{ 0x1000, 0x2000, 0x3002, 256, false },
		{ 0x1000, 0x2000, 0x3000, 0, false },
		{ 0x1000, 0x2000, 0x3000, 3, false },
		{ 0x1000, 0x2000, 0x3000, 2048, false },
		{ DRIVER_MEMORY - 256 * 16, 0x2000, 0x3000, 256, true },
		{ DRIVER_MEMORY - 256 * 16 + 16, 0x2000, 0x3000, 256, false },
		{ 0x1000, DRIVER_MEMORY - 2 * 256 - 6, 0x3000, 256, true },
		{ 0x1000, DRIVER_MEMORY - 2 * 256 - 4, 0x3000, 256, false },
		{ 0x1000, 0x2000, DRIVER_MEMORY - 8 * 256 - 8, 256, true },
		{ 0x1000, 0x2000, DRIVER_MEMORY - 8 * 256 - 4, 256, false },
		{ UINT64_MAX - 15, 0x2000, 0x3000, 256, false },
		{ DRIVER_MEMORY, 0x2000, 0x3000, 1, false },
	};

	for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
		virtqueue_reset(f->queue);
		f->queue->memory = &f->driver.memory;
		f->queue->size = places[i].size;
		f->queue->desc_address = places[i].desc;
		f->queue->avail_address = places[i].avail;
		f->queue->used_address = places[i].used;
		assert_int_equal(virtqueue_activate(f->queue), places[i].good);
		assert_int_equal(f->queue->ready, places[i].good);
	}
}

static void test_virtqueue_not_ready_does_nothing(void **state)
{
	struct fixture *f = *state;

	virtqueue_reset(f->queue);
	assert_int_equal(virtqueue_pop(f->queue, &f->chain), 0);
	virtqueue_push(f->queue, 0, 0);
	assert_false(virtqueue_should_signal(f->queue));
	virtqueue_disable_kick(f->queue);
	assert_false(virtqueue_enable_kick(f->queue));
}

static void test_iovec_copies_and_slices_across_segments(void **state)
{
	char a[4] = "abc", b[1] = "d", c[5] = "efgh", out[16] = "";
	struct iovec segments[] = { { a, 3 }, { b, 1 }, { c, 4 } }, slice[3];

	(void)state;
	assert_int_equal(iovec_read(segments, 3, 0, out, sizeof out), 8);
	assert_memory_equal(out, "abcdefgh", 8);
	assert_int_equal(iovec_read(segments, 3, 2, out, 3), 3);
	assert_memory_equal(out, "cde", 3);
	assert_int_equal(iovec_read(segments, 3, 8, out, 1), 0);
	assert_int_equal(iovec_write(segments, 3, 2, "XYZ", 3), 3);
	assert_int_equal(iovec_read(segments, 3, 0, out, sizeof out), 8);
	assert_memory_equal(out, "abXYZfgh", 8);
	assert_int_equal(iovec_slice(segments, 3, 1, 4, slice, 3), 3);
	assert_int_equal(slice[0].iov_len, 2);
	assert_int_equal(slice[2].iov_len, 1);
	assert_ptr_equal(slice[2].iov_base, c);
	assert_int_equal(iovec_slice(segments, 3, 1, 4, slice, 1), 1);
	assert_int_equal(iovec_slice(segments, 3, 3, 1, slice, 3), 1);
	assert_int_equal(iovec_slice(segments, 3, 8, 1, slice, 3), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_virtqueue_empty_yields_nothing),
		TEST(test_virtqueue_chain_readable_then_writable_is_yielded),
		TEST(test_virtqueue_chain_through_indirect_table_is_yielded),
		TEST(test_virtqueue_indirect_table_after_plain_descriptor_is_yielded),
		TEST(test_virtqueue_longest_chain_is_yielded_and_one_more_refused),
		TEST(test_virtqueue_broken_rules_are_refused),
		TEST(test_virtqueue_available_index_that_jumps_is_refused),
		TEST(test_virtqueue_indexes_wrap_around),
		TEST(test_virtqueue_unpop_yields_the_same_chain_again),
		TEST(test_virtqueue_flags_suppress_interrupts),
		TEST(test_virtqueue_event_index_suppresses_interrupts),
		TEST(test_virtqueue_kick_wish_by_flag),
		TEST(test_virtqueue_kick_wish_by_event_index),
		TEST(test_virtqueue_place_outside_memory_or_unaligned_is_refused),
		TEST(test_virtqueue_not_ready_does_nothing),
		TEST(test_iovec_copies_and_slices_across_segments),
	};

	return cmocka_run_group_tests_name("virtqueue", tests, NULL, NULL);
}
