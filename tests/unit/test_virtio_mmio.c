/* SPDX-License-Identifier: Apache-2.0 */
/* The register page: every register in every state and width, every cell of the status table, a driver's whole way. */
#include "tests/unit/virtq_driver.h"
#include "vmm/virtio_mmio.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { QUEUES = 2, QUEUE_SIZE = 64 };

#define OWN_FEATURE (1ull << 5)
#define VERSION_1 (1ull << 32)

/* A device that counts what is done to it. */
struct counting {
	struct virtio_device device;
	unsigned activated, reset, kicked;
	uint8_t config[8];
};

static void activate(struct virtio_device *device)
{
	((struct counting *)device)->activated++;
}

static void reset_device(struct virtio_device *device)
{
	assert_false(device->active);
	((struct counting *)device)->reset++;
}

static void queue_kicked(struct virtio_device *device, unsigned index)
{
	(void)index;
	((struct counting *)device)->kicked++;
}

static void config_read(struct virtio_device *device, size_t offset, void *out, size_t length)
{
	assert_true(offset + length <= device->ops->config_size);
	memcpy(out, ((struct counting *)device)->config + offset, length);
}

static void config_write(struct virtio_device *device, size_t offset, const void *data, size_t length)
{
	assert_true(offset + length <= device->ops->config_size);
	memcpy(((struct counting *)device)->config + offset, data, length);
}

static void destroy(struct virtio_device *device)
{
	virtio_device_fini(device);
}

static const struct virtio_device_ops counting_ops = {
	.name = "counting",
	.device_id = 42,
	.features = OWN_FEATURE,
	.queue_size = QUEUE_SIZE,
	.activate = activate,
	.queue_kicked = queue_kicked,
	.reset = reset_device,
	.config_size = 8,
	.config_read = config_read,
	.config_write = config_write,
	.destroy = destroy,
};

struct fixture {
	struct guest_memory memory;
	struct counting counting;
	struct virtio_mmio mmio;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct err err = ERR_INIT;

	assert_int_equal(guest_memory_create(&f->memory, 2 << 20, &err), 0);
	virtio_device_init(&f->counting.device, &counting_ops, QUEUES);
	for (unsigned i = 0; i < QUEUES; i++)
		f->counting.device.kick_fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	virtio_mmio_init(&f->mmio, &f->counting.device, &f->memory, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	*state = f;
	log_setup("test", -1, LOG_TEXT, LOG_ERROR);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	virtio_mmio_destroy(&f->mmio);
	guest_memory_destroy(&f->memory);
	free(f);
	return 0;
}

static uint32_t get(struct fixture *f, uint32_t offset)
{
	uint32_t value = 0xdeadbeef;

	virtio_mmio_read(&f->mmio, offset, &value, 4);
	return value;
}

static void set(struct fixture *f, uint32_t offset, uint32_t value)
{
	virtio_mmio_write(&f->mmio, offset, &value, 4);
}

static unsigned long refused(struct fixture *f)
{
	return atomic_load(&f->counting.device.refused);
}

enum { STATUS = 0x70 };
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, NEEDS_RESET = 64, FAILED = 128 };

/* As a well-behaved driver would come to `state`. */
static void go_to(struct fixture *f, enum virtio_state state)
{
	set(f, STATUS, 0);
	if (state == VIRTIO_STATE_RESET)
		return;
	set(f, STATUS, ACKNOWLEDGE);
	if (state == VIRTIO_STATE_FAILED)
		set(f, STATUS, ACKNOWLEDGE | FAILED);
	if (state == VIRTIO_STATE_ACKNOWLEDGED || state == VIRTIO_STATE_FAILED)
		return;
	set(f, STATUS, ACKNOWLEDGE | DRIVER);
	if (state == VIRTIO_STATE_DRIVER)
		return;
	set(f, 0x24, 1);
	set(f, 0x20, VERSION_1 >> 32);
	set(f, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	if (state == VIRTIO_STATE_NEGOTIATED)
		return;
	set(f, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	assert_int_equal(f->mmio.state, VIRTIO_STATE_ACTIVE);
}

static void set_up_queue(struct fixture *f, unsigned index, uint64_t base, uint32_t size)
{
	set(f, 0x30, index);
	set(f, 0x38, size);
	set(f, 0x80, (uint32_t)base);
	set(f, 0x84, (uint32_t)(base >> 32));
	set(f, 0x90, (uint32_t)base + 0x1000);
	set(f, 0x94, (uint32_t)(base >> 32));
	set(f, 0xa0, (uint32_t)base + 0x2000);
	set(f, 0xa4, (uint32_t)(base >> 32));
	set(f, 0x44, 1);
}

static void test_virtio_mmio_driver_goes_its_way(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, 0x00), 0x74726976);
	assert_int_equal(get(f, 0x04), 2);
	assert_int_equal(get(f, 0x08), 42);
	set(f, STATUS, 0);
	set(f, STATUS, ACKNOWLEDGE);
	set(f, STATUS, ACKNOWLEDGE | DRIVER);
	set(f, 0x14, 0);
	assert_int_equal(get(f, 0x10), OWN_FEATURE | 1u << 28 | 1u << 29);
	set(f, 0x14, 1);
	assert_int_equal(get(f, 0x10), VERSION_1 >> 32);
	set(f, 0x14, 2);
	assert_int_equal(get(f, 0x10), 0);
	set(f, 0x24, 0);
	set(f, 0x20, OWN_FEATURE | 1u << 29);
	set(f, 0x24, 1);
	set(f, 0x20, VERSION_1 >> 32);
	set(f, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	assert_int_equal(get(f, STATUS), ACKNOWLEDGE | DRIVER | FEATURES_OK);
	for (unsigned i = 0; i < QUEUES; i++) {
		set(f, 0x30, i);
		assert_int_equal(get(f, 0x34), QUEUE_SIZE);
		assert_int_equal(get(f, 0x44), 0);
		set_up_queue(f, i, 0x10000 * (i + 1), QUEUE_SIZE / 2);
		assert_int_equal(get(f, 0x44), 1);
		assert_true(f->counting.device.queues[i].event_idx);
	}
	set(f, 0x30, QUEUES);
	assert_int_equal(get(f, 0x34), 0);
	virtio_mmio_kicked(&f->mmio, 0);
	assert_int_equal(f->counting.kicked, 0);
	set(f, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	assert_int_equal(f->counting.activated, 1);
	assert_int_equal(f->counting.device.driver_features, VERSION_1 | OWN_FEATURE | 1u << 29);
	virtio_mmio_kicked(&f->mmio, 0);
	assert_int_equal(f->counting.kicked, 1);
	assert_int_equal(refused(f), 0);

	set(f, STATUS, 0);
	assert_int_equal(f->counting.reset, 1);
	assert_int_equal(get(f, STATUS), 0);
	assert_false(f->counting.device.queues[0].ready);
	assert_ptr_equal(f->counting.device.queues[0].memory, &f->memory);
}

/* 4.2.2: for every offset, width and state, what a write may change is in the table, and nothing else. */
static void test_virtio_mmio_every_register_in_every_state_and_width(void **state)
{
	struct fixture *f = *state;

	for (unsigned s = 0; s < VIRTIO_STATE_COUNT; s++) {
		for (uint32_t offset = 0; offset < 0x100; offset++) {
			for (unsigned length = 1; length <= 8; length *= 2) {
				const struct virtio_register *reg = virtio_mmio_register(offset);
				uint8_t data[8] = { 1 }, out[8];
				unsigned long before;

				go_to(f, s);
				assert_int_equal(f->mmio.state, s);
				before = refused(f);
				memset(out, 0xee, sizeof out);
				virtio_mmio_read(&f->mmio, offset, out, length);
				if (reg && reg->read && length == 4) {
					assert_int_equal(refused(f), before);
				} else {
					assert_int_equal(refused(f), before + 1);
					for (unsigned i = 0; i < length; i++)
						assert_int_equal(out[i], 0);
				}

				before = refused(f);
				virtio_mmio_write(&f->mmio, offset, data, length);
				if (!reg || !reg->write || length != 4 || !(reg->writable_in & 1u << s))
					assert_int_equal(refused(f), before + 1);
			}
		}
	}
}

static void test_virtio_mmio_every_status_event_in_every_state(void **state)
{
	struct fixture *f = *state;
	static const uint32_t bits[VIRTIO_EVENT_COUNT] = { ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK, FAILED };
	/* written down once more, by hand */
	static const int expected[VIRTIO_STATE_COUNT][VIRTIO_EVENT_COUNT] = {
		/* RESET */ { VIRTIO_STATE_ACKNOWLEDGED, -1, -1, -1, -1 },
		/* ACKNOWLEDGED */ { -1, VIRTIO_STATE_DRIVER, -1, -1, VIRTIO_STATE_FAILED },
		/* DRIVER */ { -1, -1, -1 /* no VERSION_1 */, -1, VIRTIO_STATE_FAILED },
		/* NEGOTIATED */ { -1, -1, -1, VIRTIO_STATE_ACTIVE, VIRTIO_STATE_FAILED },
		/* ACTIVE */ { -1, -1, -1, -1, VIRTIO_STATE_FAILED },
		/* FAILED */ { -1, -1, -1, -1, -1 },
	};

	for (unsigned s = 0; s < VIRTIO_STATE_COUNT; s++) {
		for (unsigned e = 0; e < VIRTIO_EVENT_COUNT; e++) {
			uint32_t before;

			go_to(f, s);
			before = get(f, STATUS);
			set(f, STATUS, before | bits[e]);
			assert_int_equal(f->mmio.state, expected[s][e] < 0 ? (int)s : expected[s][e]);
			assert_int_equal(get(f, STATUS), expected[s][e] < 0 ? before : before | bits[e]);
		}
	}
	assert_int_equal(virtio_mmio_next_state(VIRTIO_STATE_DRIVER, VIRTIO_EVENT_FEATURES_OK),
			 VIRTIO_STATE_NEGOTIATED);
}

static void test_virtio_mmio_status_bits_taken_back_are_refused(void **state)
{
	struct fixture *f = *state;

	go_to(f, VIRTIO_STATE_ACTIVE);
	set(f, STATUS, ACKNOWLEDGE);
	assert_int_equal(get(f, STATUS), ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	assert_int_equal(refused(f), 1);
}

static void test_virtio_mmio_features_not_offered_are_refused(void **state)
{
	struct fixture *f = *state;

	go_to(f, VIRTIO_STATE_DRIVER);
	set(f, 0x20, 1u << 6);
	set(f, 0x24, 1);
	set(f, 0x20, 1);
	set(f, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	assert_int_equal(get(f, STATUS), ACKNOWLEDGE | DRIVER);
	/* The driver may try again with less. */
	set(f, 0x24, 0);
	set(f, 0x20, 0);
	set(f, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	assert_int_equal(get(f, STATUS), ACKNOWLEDGE | DRIVER | FEATURES_OK);
}

static void test_virtio_mmio_queue_out_of_place_stays_unready(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint64_t base;
		uint32_t size;
	} wrong[] = { { 0x10000, 0 },  { 0x10000, 3 },  { 0x10000, QUEUE_SIZE * 2 }, { 0x10000, 65536 + 32 },
		      { 2 << 20, 32 }, { 0x10008, 32 }, { 0xfffffffffffff000, 32 },  { GUEST_HOLE_END, 32 } };

	go_to(f, VIRTIO_STATE_NEGOTIATED);
	for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		set_up_queue(f, 0, wrong[i].base, wrong[i].size);
		assert_int_equal(get(f, 0x44), 0);
	}
	set_up_queue(f, 0, 0x10000, 32);
	assert_int_equal(get(f, 0x44), 1);
	/* A ready queue takes no new place ... */
	set(f, 0x80, 0x20000);
	set(f, 0x38, 64);
	assert_int_equal(f->counting.device.queues[0].desc_address, 0x10000);
	assert_int_equal(f->counting.device.queues[0].size, 32);
	/* ... until it is made unready. */
	set(f, 0x44, 0);
	assert_int_equal(get(f, 0x44), 0);
	assert_int_equal(f->counting.device.queues[0].desc_address, 0);
	/* No such queue: nothing happens. */
	set_up_queue(f, 4000000000u, 0x10000, 32);
	assert_int_equal(get(f, 0x44), 0);
}

static void test_virtio_mmio_notify_reaches_the_doorbell(void **state)
{
	struct fixture *f = *state;
	eventfd_t count;

	go_to(f, VIRTIO_STATE_ACTIVE);
	set(f, VIRTIO_MMIO_NOTIFY, 1);
	assert_int_equal(eventfd_read(f->counting.device.kick_fds[1], &count), 0);
	set(f, VIRTIO_MMIO_NOTIFY, QUEUES);
	set(f, VIRTIO_MMIO_NOTIFY, 0xffffffff);
	assert_int_equal(refused(f), 2);
}

static void test_virtio_mmio_interrupts_are_shown_and_acknowledged(void **state)
{
	struct fixture *f = *state;
	struct virtio_device *device = &f->counting.device;
	eventfd_t count;

	go_to(f, VIRTIO_STATE_ACTIVE);
	device->signal_queue(device, 0);
	device->signal_queue(device, 1);
	assert_int_equal(eventfd_read(f->mmio.interrupt_fd, &count), 0);
	assert_int_equal(get(f, 0x60), 1);
	assert_int_equal(get(f, 0xfc), 0);
	device->signal_config(device);
	assert_int_equal(get(f, 0x60), 3);
	assert_int_equal(get(f, 0xfc), 1);
	set(f, 0x64, 1);
	assert_int_equal(get(f, 0x60), 2);
	set(f, 0x64, 0xffffffff);
	assert_int_equal(get(f, 0x60), 0);
}

/* Each register and the configuration, as a read gives them. */
static void assert_page_is_shown(struct fixture *f, const uint8_t *page)
{
	for (uint32_t offset = 0; offset < 0x108; offset += 4) {
		const struct virtio_register *reg = virtio_mmio_register(offset);
		uint32_t shown;

		memcpy(&shown, page + offset, sizeof shown);
		if (offset >= 0x100 || (reg && reg->read))
			assert_int_equal(shown, get(f, offset));
		else
			assert_int_equal(shown, 0);
	}
}

static void test_virtio_mmio_shown_page_is_what_reads_give(void **state)
{
	static const enum virtio_state states[] = { VIRTIO_STATE_ACKNOWLEDGED, VIRTIO_STATE_DRIVER,
						    VIRTIO_STATE_NEGOTIATED, VIRTIO_STATE_ACTIVE, VIRTIO_STATE_FAILED };
	struct fixture *f = *state;
	struct virtio_device *device = &f->counting.device;
	_Alignas(4) static uint8_t page[VIRTIO_MMIO_SIZE];

	device->own_calls = true;
	memset(page, 0, sizeof page);
	virtio_mmio_show(&f->mmio, page);
	assert_page_is_shown(f, page);
	for (unsigned i = 0; i < sizeof states / sizeof *states; i++) {
		go_to(f, states[i]);
		assert_page_is_shown(f, page);
	}
	go_to(f, VIRTIO_STATE_NEGOTIATED);
	set_up_queue(f, 1, 0x4000, QUEUE_SIZE);
	assert_page_is_shown(f, page);
	set(f, 0x14, 1); /* which half of the features is shown */
	assert_page_is_shown(f, page);
	set(f, 0x30, 99);
	assert_page_is_shown(f, page);
	/* By the device, without a write of the driver's. */
	go_to(f, VIRTIO_STATE_ACTIVE);
	assert_int_equal(get(f, 0x60), 1); /* always, as the device wants it */
	device->signal_queue(device, 0);
	assert_page_is_shown(f, page);
	f->counting.config[1] = 0x11;
	device->signal_config(device);
	assert_page_is_shown(f, page);
	f->counting.config[7] = 0x77;
	device->show_config(device);
	assert_page_is_shown(f, page);
	assert_int_equal(page[0x107], 0x77);
	(device->fail)(device, "for the test");
	assert_page_is_shown(f, page);
	assert_true(page[STATUS] & NEEDS_RESET);
	set(f, STATUS, 0);
	assert_page_is_shown(f, page);
}

static void test_virtio_mmio_failure_asks_for_reset_once(void **state)
{
	struct fixture *f = *state;
	struct virtio_device *device = &f->counting.device;

	go_to(f, VIRTIO_STATE_ACTIVE);
	for (int i = 0; i < 3; i++)
		(device->fail)(device, "for the test"); /* cmocka has a macro of that name */
	assert_int_equal(refused(f), 1);
	assert_int_equal(get(f, STATUS), NEEDS_RESET | ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	assert_int_equal(get(f, 0x60), 2);
	set(f, STATUS, 0);
	assert_int_equal(get(f, STATUS), 0);
}

static void test_virtio_mmio_config_space_keeps_its_bounds(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint32_t offset;
		unsigned length;
		bool good;
	} accesses[] = {
		{ 0, 1, true },  { 0, 2, true },      { 0, 4, true },      { 0, 8, false }, { 7, 1, true },
		{ 6, 2, true },  { 4, 4, true },      { 7, 2, false },     { 1, 4, false }, { 8, 1, false },
		{ 6, 4, false }, { 0xeff, 1, false }, { 0xefc, 4, false }, { 2, 4, false }, { 1, 2, false },
	};

	for (unsigned i = 0; i < 8; i++)
		f->counting.config[i] = (uint8_t)(i + 1);
	for (unsigned i = 0; i < sizeof accesses / sizeof *accesses; i++) {
		unsigned long before = refused(f);
		uint8_t out[8];

		memset(out, 0xee, sizeof out);
		virtio_mmio_read(&f->mmio, 0x100 + accesses[i].offset, out, accesses[i].length);
		assert_int_equal(out[0], accesses[i].good ? accesses[i].offset + 1 : 0);
		virtio_mmio_write(&f->mmio, 0x100 + accesses[i].offset, out, accesses[i].length);
		assert_int_equal(refused(f), before + (accesses[i].good ? 0 : 2));
	}
}

static void test_virtio_mmio_shows_where_shared_memory_is(void **state)
{
	struct fixture *f = *state;

	for (unsigned id = 0; id < 2; id++) {
		set(f, 0xac, id);
		for (uint32_t offset = 0xb0; offset <= 0xbc; offset += 4)
			assert_int_equal(get(f, offset), 0xffffffff);
	}
	f->counting.device.shared.address = 0x4000200000;
	f->counting.device.shared.size = 0x140000000;
	set(f, 0xac, 0);
	assert_int_equal(get(f, 0xb0), 0x40000000);
	assert_int_equal(get(f, 0xb4), 1);
	assert_int_equal(get(f, 0xb8), 0x200000);
	assert_int_equal(get(f, 0xbc), 0x40);
	/* There is one region, and its number is 0. */
	set(f, 0xac, 1);
	assert_int_equal(get(f, 0xb0), 0xffffffff);
	assert_int_equal(get(f, 0xb8), 0xffffffff);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_virtio_mmio_driver_goes_its_way),
		TEST(test_virtio_mmio_every_register_in_every_state_and_width),
		TEST(test_virtio_mmio_every_status_event_in_every_state),
		TEST(test_virtio_mmio_status_bits_taken_back_are_refused),
		TEST(test_virtio_mmio_features_not_offered_are_refused),
		TEST(test_virtio_mmio_queue_out_of_place_stays_unready),
		TEST(test_virtio_mmio_notify_reaches_the_doorbell),
		TEST(test_virtio_mmio_interrupts_are_shown_and_acknowledged),
		TEST(test_virtio_mmio_shown_page_is_what_reads_give),
		TEST(test_virtio_mmio_failure_asks_for_reset_once),
		TEST(test_virtio_mmio_config_space_keeps_its_bounds),
		TEST(test_virtio_mmio_shows_where_shared_memory_is),
	};

	return cmocka_run_group_tests_name("virtio_mmio", tests, NULL, NULL);
}
