/* SPDX-License-Identifier: Apache-2.0 */
/* The memory device over a ring in ordinary memory: what is plugged and unplugged, and what is refused. */
#include "tests/unit/virtq_driver.h"
#include "vmm/virtio_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

#define START 0x140000000ull
#define BLOCK VIRTIO_MEM_BLOCK
enum { BLOCKS = 32, REQUESTS = 0 };
enum { PLUG, UNPLUG, UNPLUG_ALL, STATE };
enum { ACK, NACK, BUSY, ERROR };
enum { PLUGGED, UNPLUGGED, MIXED };

struct fixture {
	struct driver driver;
	uint8_t *host;
};

struct request {
	uint16_t type, padding[3];
	uint64_t address;
	uint16_t blocks, padding2[3];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct err err = ERR_INIT;

	f->host =
		mmap(NULL, BLOCKS * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	driver_start(&f->driver, virtio_mem_create(START, BLOCKS * BLOCK, f->host, &err), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	driver_stop(&f->driver);
	munmap(f->host, BLOCKS * BLOCK);
	free(f);
	return 0;
}

/* The response's type, and for STATE the state as 10 times it. */
static unsigned ask(struct fixture *f, uint16_t type, uint64_t address, uint16_t blocks)
{
	struct driver *d = &f->driver;
	const struct request request = { .type = type, .address = address, .blocks = blocks };
	uint64_t in = driver_alloc(d, sizeof request), out = driver_alloc(d, 10);
	uint16_t answer[5];
	uint32_t written;

	memcpy(driver_at(d, in), &request, sizeof request);
	memset(driver_at(d, out), 0xee, 10);
	driver_put(d, REQUESTS, 2, (struct driver_segment[]){ { in, sizeof request, false }, { out, 10, true } });
	driver_kick(d, REQUESTS);
	assert_true(driver_take(d, REQUESTS, NULL, &written));
	assert_int_equal(written, 10);
	memcpy(answer, driver_at(d, out), sizeof answer);
	return type == STATE ? answer[0] + 10u * answer[4] : answer[0];
}

static uint64_t config(struct fixture *f, size_t offset)
{
	struct virtio_device *device = f->driver.device;
	uint64_t value;

	device->ops->config_read(device, offset, &value, sizeof value);
	return value;
}

static void test_virtio_mem_blocks_come_and_go(void **state)
{
	struct fixture *f = *state;

	virtio_mem_request(f->driver.device, 4 * BLOCK, 8 * BLOCK);
	assert_int_equal(config(f, 0), BLOCK);
	assert_int_equal(config(f, 16), START);
	assert_int_equal(config(f, 24), BLOCKS * BLOCK);
	assert_int_equal(config(f, 32), 8 * BLOCK);
	assert_int_equal(config(f, 48), 4 * BLOCK);
	assert_int_equal(ask(f, STATE, START, 4), ACK + 10 * UNPLUGGED);
	assert_int_equal(ask(f, PLUG, START + BLOCK, 2), ACK);
	assert_int_equal(virtio_mem_plugged(f->driver.device), 2 * BLOCK);
	assert_int_equal(config(f, 40), 2 * BLOCK);
	assert_int_equal(ask(f, STATE, START + BLOCK, 2), ACK + 10 * PLUGGED);
	assert_int_equal(ask(f, STATE, START, 4), ACK + 10 * MIXED);
	/* What is given back is the host's again: zeros when it comes back. */
	memset(f->host + BLOCK, 0xff, 2 * BLOCK);
	assert_int_equal(ask(f, UNPLUG, START + BLOCK, 1), ACK);
	assert_int_equal(f->host[BLOCK], 0);
	assert_int_equal(f->host[2 * BLOCK - 1], 0);
	assert_int_equal(f->host[2 * BLOCK], 0xff);
	assert_int_equal(virtio_mem_plugged(f->driver.device), BLOCK);
	assert_int_equal(ask(f, UNPLUG_ALL, 0, 0), ACK);
	assert_int_equal(f->host[2 * BLOCK], 0);
	assert_int_equal(virtio_mem_plugged(f->driver.device), 0);
	assert_int_equal(atomic_load(&f->driver.device->refused), 0);
}

static void test_virtio_mem_no_more_than_was_requested(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, PLUG, START, 1), ERROR); /* nothing is usable yet */
	virtio_mem_request(f->driver.device, 2 * BLOCK, 8 * BLOCK);
	assert_int_equal(ask(f, PLUG, START, 3), NACK);
	assert_int_equal(ask(f, PLUG, START, 2), ACK);
	assert_int_equal(ask(f, PLUG, START + 2 * BLOCK, 1), NACK);
	/* Fewer are wanted than there are; what is usable stays. */
	virtio_mem_request(f->driver.device, BLOCK, 0);
	assert_int_equal(config(f, 32), 8 * BLOCK);
	assert_int_equal(ask(f, PLUG, START + 2 * BLOCK, 1), NACK);
	assert_int_equal(ask(f, UNPLUG, START, 2), ACK);
	assert_int_equal(ask(f, PLUG, START + 7 * BLOCK, 1), ACK);
}

static void test_virtio_mem_what_is_not_so_is_an_error(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint64_t address;
		uint16_t blocks;
	} wrong[] = {
		{ START - BLOCK, 1 },
		{ START + 1, 1 },
		{ START + 8 * BLOCK, 1 },
		{ START + 7 * BLOCK, 2 },
		{ START, 0 },
		{ START, UINT16_MAX },
		{ 0, 1 },
		{ UINT64_MAX, 1 },
		{ START + BLOCK / 2, 1 },
		{ UINT64_MAX - BLOCK + 1, UINT16_MAX },
	};

	virtio_mem_request(f->driver.device, 8 * BLOCK, 8 * BLOCK);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		assert_int_equal(ask(f, PLUG, wrong[i].address, wrong[i].blocks), ERROR);
		assert_int_equal(ask(f, UNPLUG, wrong[i].address, wrong[i].blocks), ERROR);
		assert_int_equal(ask(f, STATE, wrong[i].address, wrong[i].blocks) % 10, ERROR);
	}
	assert_int_equal(atomic_load(&f->driver.device->refused), 3 * sizeof wrong / sizeof *wrong);
	assert_int_equal(ask(f, 4, START, 1), ERROR);
	assert_int_equal(ask(f, PLUG, START, 2), ACK);
	assert_int_equal(ask(f, PLUG, START + BLOCK, 1), ERROR);   /* it is there */
	assert_int_equal(ask(f, UNPLUG, START + BLOCK, 2), ERROR); /* half of it is not */
	assert_int_equal(virtio_mem_plugged(f->driver.device), 2 * BLOCK);
}

static void test_virtio_mem_requests_that_are_cut_off_do_nothing(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	uint64_t in = driver_alloc(d, 32), out = driver_alloc(d, 16);
	uint32_t written;

	virtio_mem_request(d->device, 8 * BLOCK, 8 * BLOCK);
	memset(driver_at(d, in), 0, 32);
	driver_put(d, REQUESTS, 2, (struct driver_segment[]){ { in, 7, false }, { out, 10, true } });
	driver_put(d, REQUESTS, 1, (struct driver_segment[]){ { out, 10, true } });
	driver_put(d, REQUESTS, 2, (struct driver_segment[]){ { in, 24, false }, { out, 1, true } });
	driver_kick(d, REQUESTS);
	assert_true(driver_take(d, REQUESTS, NULL, &written));
	assert_int_equal(written, 10);
	assert_true(driver_take(d, REQUESTS, NULL, &written));
	assert_true(driver_take(d, REQUESTS, NULL, &written));
	assert_int_equal(written, 1);
	assert_int_equal(virtio_mem_plugged(d->device), 0);
}

static void test_virtio_mem_plugged_blocks_survive_a_reset(void **state)
{
	struct fixture *f = *state;

	virtio_mem_request(f->driver.device, 2 * BLOCK, 8 * BLOCK);
	assert_int_equal(ask(f, PLUG, START, 2), ACK);
	driver_reset(&f->driver);
	driver_activate(&f->driver, 0, 16);
	assert_int_equal(virtio_mem_plugged(f->driver.device), 2 * BLOCK);
	assert_int_equal(ask(f, UNPLUG_ALL, 0, 0), ACK);
	assert_int_equal(virtio_mem_plugged(f->driver.device), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_virtio_mem_blocks_come_and_go),
		TEST(test_virtio_mem_no_more_than_was_requested),
		TEST(test_virtio_mem_what_is_not_so_is_an_error),
		TEST(test_virtio_mem_requests_that_are_cut_off_do_nothing),
		TEST(test_virtio_mem_plugged_blocks_survive_a_reset),
	};

	return cmocka_run_group_tests_name("virtio_mem", tests, NULL, NULL);
}
