/* SPDX-License-Identifier: Apache-2.0 */
/* The entropy device over a ring in ordinary memory. */
#include "tests/unit/virtq_driver.h"
#include "vmm/virtio_rng.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int setup(void **state)
{
	struct driver *d = malloc(sizeof *d);
	struct err err = ERR_INIT;

	driver_start(d, virtio_rng_create(&err), 0);
	*state = d;
	return 0;
}

static int teardown(void **state)
{
	driver_stop(*state);
	free(*state);
	return 0;
}

static unsigned zeroes(const uint8_t *bytes, size_t length)
{
	unsigned count = 0;

	while (length--)
		count += !*bytes++;
	return count;
}

static void test_virtio_rng_fills_the_buffer(void **state)
{
	struct driver *d = *state;
	uint64_t buffer = driver_alloc(d, 1024);
	uint32_t head, written;

	driver_put(d, 0, 2, (struct driver_segment[]){ { buffer, 500, true }, { buffer + 500, 500, true } });
	driver_kick(d, 0);
	assert_true(driver_take(d, 0, &head, &written));
	assert_int_equal(written, 1000);
	assert_in_range(zeroes(driver_at(d, buffer), 1000), 0, 30);
	assert_int_equal(zeroes((uint8_t *)driver_at(d, buffer) + 1000, 24), 24);
	assert_int_equal(atomic_load(&d->queue_signals[0]), 1);
}

static void test_virtio_rng_large_buffer_is_filled_in_part(void **state)
{
	struct driver *d = *state;
	uint64_t buffer = driver_alloc(d, 1 << 20);
	uint32_t written;

	driver_put(d, 0, 1, &(struct driver_segment){ buffer, 1 << 20, true });
	driver_kick(d, 0);
	assert_true(driver_take(d, 0, NULL, &written));
	assert_int_equal(written, 4096);
}

static void test_virtio_rng_readable_buffer_gets_nothing(void **state)
{
	struct driver *d = *state;
	uint64_t buffer = driver_alloc(d, 64);
	uint32_t written;

	driver_put(d, 0, 1, &(struct driver_segment){ buffer, 64, false });
	driver_kick(d, 0);
	assert_true(driver_take(d, 0, NULL, &written));
	assert_int_equal(written, 0);
	assert_int_equal(zeroes(driver_at(d, buffer), 64), 64);
}

static void test_virtio_rng_broken_chain_fails_the_device(void **state)
{
	struct driver *d = *state;

	driver_put(d, 0, 1, &(struct driver_segment){ UINT64_MAX, 64, true });
	driver_kick(d, 0);
	assert_false(driver_take(d, 0, NULL, NULL));
	assert_int_equal(atomic_load(&d->failures), 1);
	assert_string_equal(d->failure, "a segment is not in memory");
}

/* A guest that always has one more buffer: the device stops after a while and rings its own bell. */
static void test_virtio_rng_long_queue_is_served_in_turns(void **state)
{
	struct driver *d = *state;
	struct driver_segment segment = { driver_alloc(d, 64), 64, true };
	eventfd_t count;

	for (int i = 0; i < 8; i++)
		driver_put(d, 0, 1, &segment);
	driver_kick(d, 0);
	for (int i = 0; i < 8; i++)
		assert_true(driver_take(d, 0, NULL, NULL));
	assert_int_equal(eventfd_read(d->device->kick_fds[0], &count), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_virtio_rng_fills_the_buffer),
		TEST(test_virtio_rng_large_buffer_is_filled_in_part),
		TEST(test_virtio_rng_readable_buffer_gets_nothing),
		TEST(test_virtio_rng_broken_chain_fails_the_device),
		TEST(test_virtio_rng_long_queue_is_served_in_turns),
	};

	return cmocka_run_group_tests_name("virtio_rng", tests, NULL, NULL);
}
