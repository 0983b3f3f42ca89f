/* SPDX-License-Identifier: Apache-2.0 */
/* The balloon over a ring in ordinary memory: what is reported is dropped, and nothing beside it. */
#include "tests/unit/virtq_driver.h"
#include "vmm/virtio_balloon.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { INFLATE, DEFLATE, REPORTING };
enum { PAGE = 4096 };

static int setup(void **state)
{
	struct driver *d = malloc(sizeof *d);
	struct err err = ERR_INIT;

	driver_start(d, virtio_balloon_create(&err), 1u << 5);
	*state = d;
	return 0;
}

static int teardown(void **state)
{
	driver_stop(*state);
	free(*state);
	return 0;
}

/* Four pages of ones, of which the middle two begin at the address that is returned. */
static uint64_t four_pages(struct driver *d)
{
	uint64_t start = (driver_alloc(d, 5 * PAGE) + PAGE - 1) & ~(uint64_t)(PAGE - 1);

	memset(driver_at(d, start), 0xff, 4 * PAGE);
	return start + PAGE;
}

static unsigned ones(struct driver *d, uint64_t address)
{
	const uint8_t *at = driver_at(d, address);
	unsigned count = 0;

	for (unsigned i = 0; i < PAGE; i++)
		count += at[i] == 0xff;
	return count;
}

static void test_virtio_balloon_reported_pages_are_dropped(void **state)
{
	struct driver *d = *state;
	uint64_t middle = four_pages(d);
	uint32_t written;

	driver_put(d, REPORTING, 1, &(struct driver_segment){ middle, 2 * PAGE, true });
	driver_kick(d, REPORTING);
	assert_true(driver_take(d, REPORTING, NULL, &written));
	assert_int_equal(written, 0);
	assert_int_equal(ones(d, middle - PAGE), PAGE);
	assert_int_equal(ones(d, middle), 0);
	assert_int_equal(ones(d, middle + PAGE), 0);
	assert_int_equal(ones(d, middle + 2 * PAGE), PAGE);
	assert_int_equal(atomic_load(&d->queue_signals[REPORTING]), 1);
}

static void test_virtio_balloon_parts_of_pages_stay(void **state)
{
	struct driver *d = *state;
	uint64_t middle = four_pages(d);

	driver_put(d, REPORTING, 1, &(struct driver_segment){ middle - 100, PAGE + 200, true });
	driver_put(d, REPORTING, 1, &(struct driver_segment){ middle + PAGE + 8, 16, true });
	driver_kick(d, REPORTING);
	assert_true(driver_take(d, REPORTING, NULL, NULL));
	assert_int_equal(ones(d, middle - PAGE), PAGE);
	assert_int_equal(ones(d, middle), 0);
	assert_int_equal(ones(d, middle + PAGE), PAGE);
}

static void test_virtio_balloon_what_is_for_reading_stays(void **state)
{
	struct driver *d = *state;
	uint64_t middle = four_pages(d);

	driver_put(d, REPORTING, 1, &(struct driver_segment){ middle, PAGE, false });
	driver_kick(d, REPORTING);
	assert_true(driver_take(d, REPORTING, NULL, NULL));
	assert_int_equal(ones(d, middle), PAGE);
}

static void test_virtio_balloon_other_queues_drop_nothing(void **state)
{
	struct driver *d = *state;
	uint64_t middle = four_pages(d);

	for (unsigned queue = INFLATE; queue <= DEFLATE; queue++) {
		driver_put(d, queue, 1, &(struct driver_segment){ middle, PAGE, true });
		driver_kick(d, queue);
		assert_true(driver_take(d, queue, NULL, NULL));
	}
	assert_int_equal(ones(d, middle), PAGE);
}

static void test_virtio_balloon_memory_that_is_not_the_guests_fails_the_device(void **state)
{
	struct driver *d = *state;

	driver_put(d, REPORTING, 1, &(struct driver_segment){ UINT64_MAX - PAGE, PAGE, true });
	driver_kick(d, REPORTING);
	assert_false(driver_take(d, REPORTING, NULL, NULL));
	assert_int_equal(atomic_load(&d->failures), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_virtio_balloon_reported_pages_are_dropped),
		TEST(test_virtio_balloon_parts_of_pages_stay),
		TEST(test_virtio_balloon_what_is_for_reading_stays),
		TEST(test_virtio_balloon_other_queues_drop_nothing),
		TEST(test_virtio_balloon_memory_that_is_not_the_guests_fails_the_device),
	};

	return cmocka_run_group_tests_name("virtio_balloon", tests, NULL, NULL);
}
