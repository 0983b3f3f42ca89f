/* SPDX-License-Identifier: Apache-2.0 */
/* The state file and the memory file of a saved VM: what is written comes back, and nothing else is taken. */
#include "common/err.h"
#include "vmm/guest_memory.h"
#include "vmm/sandbox.h"
#include "vmm/snapshot.h"
#include "vmm/snapshot_memory.h"
#include "vmm/virtio_mmio.h"
#include "vmm/virtio_rng.h"
#include "vmm/virtio_state.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MEMORY (8u << 20)

static struct snapshot_writer two_sections(void)
{
	struct snapshot_writer writer = { 0 };
	struct err err = ERR_INIT;

	memcpy(snapshot_add(&writer, SNAPSHOT_REGS, 0, 5), "hello", 5);
	memcpy(snapshot_add(&writer, SNAPSHOT_REGS, 1, 16), "sixteen bytes...", 16);
	assert_int_equal(snapshot_finish(&writer, &err), 0);
	return writer;
}

static void test_snapshot_sections_come_back(void **state)
{
	struct snapshot_writer writer = two_sections();
	struct snapshot snapshot;
	struct err err = ERR_INIT;
	size_t count;

	(void)state;
	assert_int_equal(snapshot_open(&snapshot, writer.data, writer.length, &err), 0);
	assert_memory_equal(snapshot_find(&snapshot, SNAPSHOT_REGS, 0, 5, &err), "hello", 5);
	assert_memory_equal(snapshot_find(&snapshot, SNAPSHOT_REGS, 1, 16, &err), "sixteen bytes...", 16);
	assert_int_equal((uintptr_t)snapshot_find(&snapshot, SNAPSHOT_REGS, 1, 16, &err) % 8, 0);
	assert_non_null(snapshot_find_array(&snapshot, SNAPSHOT_REGS, 1, 4, 4, &count, &err));
	assert_int_equal(count, 4);
	free(writer.data);
}

static void test_snapshot_other_sizes_and_absence_are_refused(void **state)
{
	struct snapshot_writer writer = two_sections();
	struct snapshot snapshot;
	struct err err = ERR_INIT;
	size_t count;

	(void)state;
	assert_int_equal(snapshot_open(&snapshot, writer.data, writer.length, &err), 0);
	assert_null(snapshot_find(&snapshot, SNAPSHOT_REGS, 0, 6, &err));
	assert_non_null(strstr(err.text, "another size"));
	assert_null(snapshot_find(&snapshot, SNAPSHOT_SREGS, 0, 5, &err));
	assert_non_null(strstr(err.text, "missing"));
	assert_null(snapshot_find_array(&snapshot, SNAPSHOT_REGS, 1, 5, 8, &count, &err));
	assert_null(snapshot_find_array(&snapshot, SNAPSHOT_REGS, 1, 4, 3, &count, &err));
	free(writer.data);
}

static void test_snapshot_any_changed_byte_is_refused(void **state)
{
	struct snapshot_writer writer = two_sections();

	(void)state;
	for (size_t i = 0; i < writer.length; i++) {
		struct snapshot snapshot;
		struct err err = ERR_INIT;

		writer.data[i] ^= 0x40;
		assert_int_equal(snapshot_open(&snapshot, writer.data, writer.length, &err), -1);
		assert_true(err.text[0]);
		writer.data[i] ^= 0x40;
	}
	free(writer.data);
}

static void test_snapshot_any_truncation_is_refused(void **state)
{
	struct snapshot_writer writer = two_sections();

	(void)state;
	for (size_t length = 0; length < writer.length; length++) {
		struct snapshot snapshot;
		struct err err = ERR_INIT;

		assert_int_equal(snapshot_open(&snapshot, writer.data, length, &err), -1);
	}
	free(writer.data);
}

static void test_snapshot_too_large_is_not_written(void **state)
{
	struct snapshot_writer writer = { 0 };
	struct err err = ERR_INIT;

	(void)state;
	assert_null(snapshot_add(&writer, SNAPSHOT_REGS, 0, SIZE_MAX));
	assert_null(snapshot_add(&writer, SNAPSHOT_REGS, 0, 1));
	assert_int_equal(snapshot_finish(&writer, &err), -1);
	free(writer.data);
}

static void test_snapshot_extents_that_make_no_sense_are_refused(void **state)
{
	static const struct snapshot_extent bad[][2] = {
		{ { 0, 4096 }, { 0, 4096 } },                 /* twice */
		{ { 8192, 4096 }, { 0, 4096 } },              /* not ascending */
		{ { 0, 4096 }, { 8192, 4095 } },              /* no whole page */
		{ { 0, 4096 }, { 8191, 4096 } },              /* not at a page */
		{ { 0, 4096 }, { 8192, 0 } },                 /* nothing */
		{ { 0, 4096 }, { MEMORY, 4096 } },            /* behind the end */
		{ { 0, 4096 }, { 4096, MEMORY } },            /* across the end */
		{ { 0, 4096 }, { 4096, UINT64_MAX - 4095 } }, /* around */
	};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct snapshot_writer writer = { 0 };
		struct snapshot snapshot;
		struct err err = ERR_INIT;
		size_t count;

		memcpy(snapshot_add(&writer, SNAPSHOT_EXTENTS, 0, sizeof bad[i]), bad[i], sizeof bad[i]);
		assert_int_equal(snapshot_finish(&writer, &err), 0);
		assert_int_equal(snapshot_open(&snapshot, writer.data, writer.length, &err), 0);
		assert_null(snapshot_find_extents(&snapshot, MEMORY, &count, &err));
		free(writer.data);
	}
}

static void test_snapshot_memory_is_sparse_and_comes_back_privately(void **state)
{
	struct guest_memory memory, again;
	struct snapshot_writer writer = { 0 };
	struct snapshot snapshot;
	struct stat status;
	struct err err = ERR_INIT;
	int fd = memfd_create("memory", MFD_CLOEXEC);
	uint8_t *bytes, *copy;
	char in_file;

	(void)state;
	assert_int_equal(guest_memory_create(&memory, MEMORY, &err), 0);
	bytes = guest_memory_at(&memory, 0, MEMORY);
	bytes[0] = 1;
	bytes[4096 + 4095] = 2; /* the last byte of a page: it is not zero */
	bytes[5 * 1024 * 1024] = 3;
	bytes[MEMORY - 1] = 4;
	assert_int_equal(snapshot_save_memory(&memory, -1, fd, false, &writer, &err), 0);
	assert_int_equal(snapshot_finish(&writer, &err), 0);
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(status.st_size, MEMORY);
	assert_int_equal(status.st_blocks * 512, 4 * 4096);

	assert_int_equal(snapshot_open(&snapshot, writer.data, writer.length, &err), 0);
	assert_int_equal(snapshot_map_memory(&again, MEMORY, fd, false, &snapshot, &err), 0);
	copy = guest_memory_at(&again, 0, MEMORY);
	assert_memory_equal(copy, bytes, MEMORY);
	copy[0] = 99;
	assert_int_equal(pread(fd, &in_file, 1, 0), 1);
	assert_int_equal(in_file, 1);
	guest_memory_destroy(&again);

	/* A file that has lost its end. */
	assert_int_equal(ftruncate(fd, MEMORY - 4096), 0);
	assert_int_equal(snapshot_map_memory(&again, MEMORY, fd, false, &snapshot, &err), -1);
	assert_non_null(strstr(err.text, "is not a file of"));
	guest_memory_destroy(&memory);
	free(writer.data);
	close(fd);
}

/* With the pagemap, as the monitor saves: the same, and nothing is touched that was not. Then the checksums. */
static void test_snapshot_untouched_memory_is_not_touched(void **state)
{
	struct guest_memory memory, again;
	struct snapshot_writer writer = { 0 };
	struct snapshot snapshot;
	struct err err = ERR_INIT;
	int fd = memfd_create("memory", MFD_CLOEXEC), pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry;
	uint8_t *bytes;

	(void)state;
	assert_int_equal(guest_memory_create_plain(&memory, MEMORY, &err), 0);
	bytes = guest_memory_at(&memory, 0, MEMORY);
	bytes[8192] = 1;
	bytes[MEMORY - 1] = 2;
	assert_int_equal(snapshot_save_memory(&memory, pagemap, fd, true, &writer, &err), 0);
	assert_int_equal(pread(pagemap, &entry, sizeof entry, (off_t)((uintptr_t)bytes / 4096 + 700) * 8), 8);
	assert_int_equal(entry >> 62, 0);
	assert_int_equal(snapshot_finish(&writer, &err), 0);
	assert_int_equal(snapshot_open(&snapshot, writer.data, writer.length, &err), 0);
	assert_int_equal(ftruncate(fd, MEMORY + 4096), 0);
	assert_int_equal(snapshot_map_memory(&again, MEMORY, fd, true, &snapshot, &err), 0);
	assert_memory_equal(guest_memory_at(&again, 0, MEMORY), bytes, MEMORY);
	assert_int_equal(snapshot_check_memory(&again, &snapshot, &err), 0);
	free(writer.data);
	guest_memory_destroy(&again);
	guest_memory_destroy(&memory);
	close(fd);
	close(pagemap);
}

static void test_snapshot_memory_of_a_template_is_saved_whole(void **state)
{
	struct guest_memory memory, again, third;
	struct snapshot_writer writer = { 0 }, second = { 0 };
	struct snapshot snapshot, later;
	struct err err = ERR_INIT;
	int fd = memfd_create("memory", MFD_CLOEXEC), copy = memfd_create("copy", MFD_CLOEXEC);
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint8_t *bytes;

	(void)state;
	assert_int_equal(guest_memory_create_plain(&memory, MEMORY, &err), 0);
	bytes = guest_memory_at(&memory, 0, MEMORY);
	bytes[8192] = 1;
	bytes[5 << 20] = 7;
	assert_int_equal(snapshot_save_memory(&memory, pagemap, fd, true, &writer, &err), 0);
	assert_int_equal(snapshot_finish(&writer, &err), 0);
	assert_int_equal(snapshot_open(&snapshot, writer.data, writer.length, &err), 0);
	assert_int_equal(snapshot_map_memory(&again, MEMORY, fd, false, &snapshot, &err), 0);
	/* Not one of its pages is in the page tables yet. */
	assert_int_equal(snapshot_save_memory(&again, pagemap, copy, true, &second, &err), 0);
	assert_int_equal(snapshot_finish(&second, &err), 0);
	assert_int_equal(snapshot_open(&later, second.data, second.length, &err), 0);
	assert_int_equal(snapshot_map_memory(&third, MEMORY, copy, false, &later, &err), 0);
	assert_memory_equal(guest_memory_at(&third, 0, MEMORY), bytes, MEMORY);
	assert_int_equal(snapshot_check_memory(&third, &later, &err), 0);
	*(uint8_t *)guest_memory_at(&third, 8192 + 17, 1) ^= 1;
	assert_int_equal(snapshot_check_memory(&third, &later, &err), -1);
	assert_non_null(strstr(err.text, "checksum of the saved memory is wrong"));
	guest_memory_destroy(&third);
	guest_memory_destroy(&again);
	guest_memory_destroy(&memory);
	free(writer.data);
	free(second.data);
	close(fd);
	close(copy);
	close(pagemap);
}

static void test_snapshot_many_extents_become_few(void **state)
{
	const uint64_t size = 512ull << 20;
	struct guest_memory memory, again;
	struct snapshot_writer writer = { 0 };
	struct snapshot snapshot;
	struct err err = ERR_INIT;
	size_t count;
	int fd = memfd_create("memory", MFD_CLOEXEC);
	uint8_t *bytes;

	(void)state;
	assert_int_equal(guest_memory_create_plain(&memory, size, &err), 0);
	bytes = guest_memory_at(&memory, 0, size);
	for (uint64_t at = 0; at < size; at += 512 << 10)
		bytes[at] = (uint8_t)(at >> 19) | 1;
	assert_int_equal(snapshot_save_memory(&memory, -1, fd, false, &writer, &err), 0);
	assert_int_equal(snapshot_finish(&writer, &err), 0);
	assert_int_equal(snapshot_open(&snapshot, writer.data, writer.length, &err), 0);
	assert_non_null(snapshot_find_extents(&snapshot, size, &count, &err));
	assert_true(count > 0 && count <= SNAPSHOT_EXTENTS_MAX);
	assert_int_equal(snapshot_map_memory(&again, size, fd, false, &snapshot, &err), 0);
	for (uint64_t at = 0; at < size; at += 512 << 10)
		assert_int_equal(*(uint8_t *)guest_memory_at(&again, at, 1), (uint8_t)(at >> 19) | 1);
	guest_memory_destroy(&again);
	guest_memory_destroy(&memory);
	free(writer.data);
	close(fd);
}

/* --- devices ----------------------------------------------------------------------------------------------- */

struct device {
	struct guest_memory memory;
	struct virtio_mmio mmio;
};

static void make_device(struct device *d)
{
	struct err err = ERR_INIT;

	assert_int_equal(guest_memory_create(&d->memory, MEMORY, &err), 0);
	virtio_mmio_init(&d->mmio, virtio_rng_create(&err), &d->memory, -1);
}

static void drop_device(struct device *d)
{
	virtio_mmio_destroy(&d->mmio);
	guest_memory_destroy(&d->memory);
}

static void put(struct device *d, uint32_t offset, uint32_t value)
{
	virtio_mmio_write(&d->mmio, offset, &value, sizeof value);
}

static uint32_t get(struct device *d, uint32_t offset)
{
	uint32_t value;

	virtio_mmio_read(&d->mmio, offset, &value, sizeof value);
	return value;
}

/* As a driver does it. */
static void drive(struct device *d)
{
	put(d, 0x070, 1);
	put(d, 0x070, 3);
	put(d, 0x024, 1);
	put(d, 0x020, 1); /* VERSION_1 */
	put(d, 0x070, 11);
	put(d, 0x038, 8);
	put(d, 0x080, 0x10000);
	put(d, 0x090, 0x11000);
	put(d, 0x0a0, 0x12000);
	put(d, 0x044, 1);
	put(d, 0x070, 15);
}

static void test_snapshot_device_comes_back(void **state)
{
	struct device one, two;
	struct virtio_saved saved;
	struct err err = ERR_INIT;

	(void)state;
	make_device(&one);
	make_device(&two);
	drive(&one);
	one.mmio.device->queues[0].next_avail = 7;
	one.mmio.device->queues[0].next_used = 6;
	assert_int_equal(virtio_state_save(&one.mmio, &saved, &err), 0);
	assert_int_equal(virtio_state_restore(&two.mmio, &saved, &err), 0);
	assert_int_equal(get(&two, 0x070), 15);
	assert_int_equal(get(&two, 0x044), 1);
	assert_false(two.mmio.device->active);
	virtio_state_continue(&two.mmio);
	assert_true(two.mmio.device->active);
	assert_int_equal(two.mmio.device->queues[0].next_avail, 7);
	assert_int_equal(two.mmio.device->queues[0].next_used, 6);
	assert_ptr_equal(two.mmio.device->queues[0].desc, guest_memory_at(&two.memory, 0x10000, 1));
	drop_device(&one);
	drop_device(&two);
}

static void test_snapshot_broken_device_is_not_saved(void **state)
{
	struct device d;
	struct virtio_saved saved;
	struct err err = ERR_INIT;

	(void)state;
	make_device(&d);
	drive(&d);
	(d.mmio.device->fail)(d.mmio.device, "for this test"); /* cmocka has a macro of that name */
	assert_int_equal(virtio_state_save(&d.mmio, &saved, &err), -1);
	drop_device(&d);
}

static void test_snapshot_device_that_makes_no_sense_is_refused(void **state)
{
	struct device good;
	struct virtio_saved saved;
	struct err err = ERR_INIT;

	(void)state;
	make_device(&good);
	drive(&good);
	assert_int_equal(virtio_state_save(&good.mmio, &saved, &err), 0);
	for (unsigned kind = 0; kind < 9; kind++) {
		struct virtio_saved bad = saved;
		struct device d;

		make_device(&d);
		switch (kind) {
		case 0:
			bad.device_id = 1;
			break;
		case 1:
			bad.queue_count = 2;
			break;
		case 2:
			bad.state = VIRTIO_STATE_FAILED;
			break;
		case 3:
			bad.state = 99;
			break;
		case 4:
			bad.driver_features = 0;
			break;
		case 5:
			bad.driver_features = ~0ull;
			break;
		case 6:
			bad.queues[0].desc_address = MEMORY;
			break;
		case 7:
			bad.queues[0].size = 16;
			break;
		case 8:
			bad.queues[0].avail_address = UINT64_MAX - 1;
			break;
		}
		assert_int_equal(virtio_state_restore(&d.mmio, &bad, &err), -1);
		drop_device(&d);
	}
	drop_device(&good);
}

/* --- identity ---------------------------------------------------------------------------------------------- */

static void test_snapshot_identity_is_new_each_time(void **state)
{
	struct guest_memory memory;
	struct sandbox sandbox;
	struct sandbox_saved saved = { .identity_address = 0x5000 };
	struct err err = ERR_INIT;
	uint8_t first[SANDBOX_IDENTITY_SIZE], second[SANDBOX_IDENTITY_SIZE];
	uint64_t generation;

	(void)state;
	assert_int_equal(guest_memory_create(&memory, MEMORY, &err), 0);
	sandbox_init(&sandbox, &memory);
	assert_int_equal(sandbox_restore(&sandbox, &saved, &err), 0);
	assert_int_equal(sandbox_renew(&sandbox, &err), 0);
	assert_true(guest_memory_read(&memory, 0x5000, first, sizeof first));
	assert_int_equal(sandbox_renew(&sandbox, &err), 0);
	assert_true(guest_memory_read(&memory, 0x5000, second, sizeof second));
	assert_memory_not_equal(first, second, 8);
	assert_memory_not_equal(first + SANDBOX_IDENTITY_ENTROPY, second + SANDBOX_IDENTITY_ENTROPY,
				SANDBOX_ENTROPY_SIZE);
	memcpy(&generation, first, sizeof generation);
	assert_true(generation);
	sandbox_destroy(&sandbox);
	guest_memory_destroy(&memory);
}

static void test_snapshot_identity_outside_of_memory_is_refused(void **state)
{
	static const uint64_t places[] = { 0, MEMORY, MEMORY - 8, 0x5fff, UINT64_MAX };
	struct guest_memory memory;
	struct sandbox sandbox;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(guest_memory_create(&memory, MEMORY, &err), 0);
	sandbox_init(&sandbox, &memory);
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		uint32_t low = (uint32_t)places[i], high = (uint32_t)(places[i] >> 32);
		struct sandbox_saved saved = { .identity_address = places[i] };

		assert_int_equal(sandbox_restore(&sandbox, &saved, &err), -1);
		sandbox_write(&sandbox, SANDBOX_REG_IDENTITY_LOW, &low, sizeof low);
		sandbox_write(&sandbox, SANDBOX_REG_IDENTITY_HIGH, &high, sizeof high);
		sandbox_save(&sandbox, &saved);
		assert_int_equal(saved.identity_address, 0);
	}
	assert_int_equal(sandbox.refused, sizeof places / sizeof *places);
	sandbox_destroy(&sandbox);
	guest_memory_destroy(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_snapshot_sections_come_back),
		cmocka_unit_test(test_snapshot_other_sizes_and_absence_are_refused),
		cmocka_unit_test(test_snapshot_any_changed_byte_is_refused),
		cmocka_unit_test(test_snapshot_any_truncation_is_refused),
		cmocka_unit_test(test_snapshot_too_large_is_not_written),
		cmocka_unit_test(test_snapshot_extents_that_make_no_sense_are_refused),
		cmocka_unit_test(test_snapshot_memory_is_sparse_and_comes_back_privately),
		cmocka_unit_test(test_snapshot_untouched_memory_is_not_touched),
		cmocka_unit_test(test_snapshot_memory_of_a_template_is_saved_whole),
		cmocka_unit_test(test_snapshot_many_extents_become_few),
		cmocka_unit_test(test_snapshot_device_comes_back),
		cmocka_unit_test(test_snapshot_broken_device_is_not_saved),
		cmocka_unit_test(test_snapshot_device_that_makes_no_sense_is_refused),
		cmocka_unit_test(test_snapshot_identity_is_new_each_time),
		cmocka_unit_test(test_snapshot_identity_outside_of_memory_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
