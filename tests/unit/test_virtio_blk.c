/* SPDX-License-Identifier: Apache-2.0 */
/* The disk over a ring in ordinary memory, with a file behind it: requests, their bounds, and its coming and going. */
#include "tests/unit/virtq_driver.h"
#include "vmm/virtio_blk.h"
#include "vmm/virtio_mmio.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#include <cmocka.h>

enum { REQUESTS = 0, SECTORS = 64, WAIT_MS = 10000 };
enum { READ = 0, WRITE = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13 };
enum { OK, IOERR, UNSUPP, NOTHING = 0xee };

struct header {
	uint32_t type, reserved;
	uint64_t sector;
};

struct range {
	uint64_t sector;
	uint32_t sectors, flags;
};

struct fixture {
	struct driver driver;
	int file;
	uint8_t data[8 * BLK_SECTOR]; /* of the request: written, or read */
};

static struct virtio_blk_backend backend_of(struct fixture *f, bool read_only, const char *id)
{
	struct virtio_blk_backend backend = {
		.fd = dup(f->file), .sectors = SECTORS, .block_log = 9, .read_only = read_only
	};

	snprintf(backend.id, sizeof backend.id, "%s", id);
	return backend;
}

static int start(void **state, bool read_only)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct err err = ERR_INIT;

	f->file = memfd_create("disk", MFD_CLOEXEC);
	for (unsigned i = 0; i < SECTORS; i++) {
		uint8_t sector[BLK_SECTOR];

		memset(sector, (int)i + 1, sizeof sector);
		assert_int_equal(write(f->file, sector, sizeof sector), sizeof sector);
	}
	const struct virtio_blk_backend backend = backend_of(f, read_only, "a-name");
	driver_start(&f->driver, virtio_blk_create(&backend, &err), 0);
	assert_int_equal(virtio_blk_start(f->driver.device, &err), 0);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return start(state, false);
}

static int setup_read_only(void **state)
{
	return start(state, true);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	driver_stop(&f->driver);
	close(f->file);
	free(f);
	return 0;
}

/* The status; `length` bytes of data go there or come back, in two pieces. */
static unsigned ask(struct fixture *f, uint32_t type, uint64_t sector, uint32_t length)
{
	struct driver *d = &f->driver;
	const struct header header = { .type = type, .sector = sector };
	bool is_in = type == READ || type == GET_ID;
	uint64_t in = driver_alloc(d, sizeof header), data = driver_alloc(d, sizeof f->data), out = driver_alloc(d, 1);
	uint32_t half = length > 600 ? 600 : length / 2, written;
	struct driver_segment segments[4] = { { in, sizeof header, false } };
	unsigned count = 1;

	memcpy(driver_at(d, in), &header, sizeof header);
	*(uint8_t *)driver_at(d, out) = NOTHING;
	if (!is_in)
		memcpy(driver_at(d, data), f->data, sizeof f->data);
	if (half)
		segments[count++] = (struct driver_segment){ data, half, is_in };
	if (length - half)
		segments[count++] = (struct driver_segment){ data + half, length - half, is_in };
	segments[count++] = (struct driver_segment){ out, 1, true };
	driver_put(d, REQUESTS, count, segments);
	driver_kick(d, REQUESTS);
	assert_true(driver_wait(d, REQUESTS, NULL, &written, WAIT_MS));
	assert_int_equal(written, is_in ? length + 1 : 1);
	if (is_in)
		memcpy(f->data, driver_at(d, data), sizeof f->data);
	return *(uint8_t *)driver_at(d, out);
}

static unsigned ask_range(struct fixture *f, uint32_t type, struct range range)
{
	memcpy(f->data, &range, sizeof range);
	return ask(f, type, 0, sizeof range);
}

static uint8_t at(const struct fixture *f, unsigned sector)
{
	uint8_t bytes[BLK_SECTOR];

	assert_int_equal(pread(f->file, bytes, sizeof bytes, (off_t)sector * BLK_SECTOR), sizeof bytes);
	for (unsigned i = 1; i < sizeof bytes; i++)
		assert_int_equal(bytes[i], bytes[0]);
	return bytes[0];
}

static void test_virtio_blk_reads_and_writes(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, READ, 5, 4 * BLK_SECTOR), OK);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(f->data[i * BLK_SECTOR], 6 + i);
		assert_int_equal(f->data[(i + 1) * BLK_SECTOR - 1], 6 + i);
	}
	memset(f->data, 0xaa, sizeof f->data);
	assert_int_equal(ask(f, WRITE, 62, 2 * BLK_SECTOR), OK);
	assert_int_equal(at(f, 61), 62);
	assert_int_equal(at(f, 62), 0xaa);
	assert_int_equal(at(f, 63), 0xaa);
	assert_int_equal(ask(f, FLUSH, 0, 0), OK);
	assert_int_equal(ask(f, GET_ID, 0, 20), OK);
	assert_string_equal((char *)f->data, "a-name");
	assert_int_equal(ask(f, 77, 0, 0), UNSUPP);
}

static void test_virtio_blk_beyond_its_end_nothing_is_done(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint64_t sector;
		uint32_t length;
	} wrong[] = {
		{ SECTORS, BLK_SECTOR },    { SECTORS - 1, 2 * BLK_SECTOR },
		{ UINT64_MAX, BLK_SECTOR }, { UINT64_MAX / BLK_SECTOR + 1, BLK_SECTOR },
		{ 0, BLK_SECTOR - 1 },      { 0, 1 },
	};

	memset(f->data, 0xaa, sizeof f->data);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		assert_int_equal(ask(f, READ, wrong[i].sector, wrong[i].length), IOERR);
		assert_int_equal(ask(f, WRITE, wrong[i].sector, wrong[i].length), IOERR);
	}
	for (unsigned i = 0; i < SECTORS; i++)
		assert_int_equal(at(f, i), i + 1);
	assert_int_equal(lseek(f->file, 0, SEEK_END), SECTORS * BLK_SECTOR);
}

static void test_virtio_blk_ranges_become_zero(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask_range(f, DISCARD, (struct range){ 8, 8, 0 }), OK);
	assert_int_equal(at(f, 7), 8);
	assert_int_equal(at(f, 8), 0);
	assert_int_equal(at(f, 15), 0);
	assert_int_equal(at(f, 16), 17);
	assert_int_equal(ask_range(f, WRITE_ZEROES, (struct range){ 63, 1, 1 }), OK);
	assert_int_equal(at(f, 63), 0);
	assert_int_equal(ask_range(f, WRITE_ZEROES, (struct range){ 0, 0, 0 }), OK);
	assert_int_equal(ask_range(f, DISCARD, (struct range){ 60, 5, 0 }), IOERR);
	assert_int_equal(ask_range(f, DISCARD, (struct range){ UINT64_MAX, 2, 0 }), IOERR);
	assert_int_equal(ask_range(f, WRITE_ZEROES, (struct range){ 0, UINT32_MAX, 0 }), IOERR);
	assert_int_equal(ask_range(f, WRITE_ZEROES, (struct range){ 0, 1, 2 }), UNSUPP);
	assert_int_equal(ask_range(f, DISCARD, (struct range){ 0, 1, 1 }), UNSUPP);
	assert_int_equal(ask(f, DISCARD, 0, 15), IOERR);
	assert_int_equal(ask(f, DISCARD, 0, 32), IOERR);
	assert_int_equal(at(f, 0), 1);
	assert_int_equal(at(f, 60), 61);
}

static void test_virtio_blk_read_only_is_never_written(void **state)
{
	struct fixture *f = *state;

	assert_true(f->driver.device->ops->features & 1u << 5);
	assert_false(f->driver.device->ops->features & (1u << 13 | 1u << 14));
	memset(f->data, 0xaa, sizeof f->data);
	assert_int_equal(ask(f, WRITE, 0, BLK_SECTOR), IOERR);
	assert_int_equal(ask_range(f, DISCARD, (struct range){ 0, 1, 0 }), IOERR);
	assert_int_equal(ask_range(f, WRITE_ZEROES, (struct range){ 0, 1, 0 }), IOERR);
	assert_int_equal(ask(f, FLUSH, 0, 0), OK);
	assert_int_equal(ask(f, READ, 0, BLK_SECTOR), OK);
	assert_int_equal(f->data[0], 1);
	assert_int_equal(at(f, 0), 1);
}

static void test_virtio_blk_malformed_requests_are_dropped(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	uint64_t in = driver_alloc(d, 16), out = driver_alloc(d, 16);
	uint32_t written;

	memset(driver_at(d, in), 0, 16);
	driver_put(d, REQUESTS, 2, (struct driver_segment[]){ { in, 15, false }, { out, 1, true } });
	driver_kick(d, REQUESTS);
	assert_true(driver_wait(d, REQUESTS, NULL, &written, WAIT_MS));
	assert_int_equal(written, 0);
	driver_put(d, REQUESTS, 1, (struct driver_segment[]){ { in, 16, false } });
	driver_kick(d, REQUESTS);
	assert_true(driver_wait(d, REQUESTS, NULL, &written, WAIT_MS));
	assert_int_equal(written, 0);
	driver_put(d, REQUESTS, 1, (struct driver_segment[]){ { out, 16, true } });
	driver_kick(d, REQUESTS);
	assert_true(driver_wait(d, REQUESTS, NULL, &written, WAIT_MS));
	assert_int_equal(written, 0);
	assert_int_equal(atomic_load(&d->device->refused), 3);
	assert_int_equal(atomic_load(&d->failures), 0);
	assert_int_equal(ask(f, READ, 0, BLK_SECTOR), OK);
}

/* Many at once: each is answered, whichever thread did it. */
static void test_virtio_blk_requests_overlap(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->driver;
	enum { COUNT = 48 };
	uint64_t data[COUNT], out[COUNT];

	for (unsigned i = 0; i < COUNT; i++) {
		const struct header header = { .type = READ, .sector = i };
		uint64_t in = driver_alloc(d, sizeof header);

		data[i] = driver_alloc(d, BLK_SECTOR);
		out[i] = driver_alloc(d, 1);
		memcpy(driver_at(d, in), &header, sizeof header);
		driver_put(d, REQUESTS, 3,
			   (struct driver_segment[]){
				   { in, sizeof header, false }, { data[i], BLK_SECTOR, true }, { out[i], 1, true } });
		driver_kick(d, REQUESTS);
	}
	for (unsigned i = 0; i < COUNT; i++)
		assert_true(driver_wait(d, REQUESTS, NULL, NULL, WAIT_MS));
	for (unsigned i = 0; i < COUNT; i++) {
		assert_int_equal(*(uint8_t *)driver_at(d, out[i]), OK);
		assert_int_equal(*(uint8_t *)driver_at(d, data[i]), i + 1);
	}
}

static void test_virtio_blk_goes_and_another_comes(void **state)
{
	struct fixture *f = *state;
	struct virtio_blk_backend next = backend_of(f, true, "another");

	assert_false(virtio_blk_replug(f->driver.device, &next)); /* there is one */
	virtio_blk_unplug(f->driver.device);
	assert_int_equal(ask(f, READ, 0, BLK_SECTOR), IOERR);
	assert_false(virtio_blk_replug(f->driver.device, &next)); /* the guest has not let go */
	driver_reset(&f->driver);
	assert_true(virtio_blk_replug(f->driver.device, &next));
	assert_true(f->driver.device->ops->features & 1u << 5);
	driver_activate(&f->driver, 0, 256);
	assert_int_equal(ask(f, GET_ID, 0, 20), OK);
	assert_string_equal((char *)f->data, "another");
	assert_int_equal(ask(f, READ, 9, BLK_SECTOR), OK);
	assert_int_equal(f->data[0], 10);
}

/* A driver that puts the next request on the ring as soon as one is done. */
struct busy {
	struct fixture *f;
	atomic_bool stop;
	atomic_uint done;
};

static void *keep_busy(void *arg)
{
	struct busy *busy = arg;
	struct driver *d = &busy->f->driver;
	const struct header header = { .type = READ };
	enum { DEPTH = 64, LENGTH = SECTORS * BLK_SECTOR };
	uint64_t in = driver_alloc(d, sizeof header), data = driver_alloc(d, LENGTH), out = driver_alloc(d, 1);
	const struct driver_segment segments[] = { { in, sizeof header, false },
						   { data, LENGTH, true },
						   { out, 1, true } };

	memcpy(driver_at(d, in), &header, sizeof header);
	for (unsigned i = 0; i < DEPTH; i++)
		driver_put(d, REQUESTS, 3, segments);
	driver_kick(d, REQUESTS);
	while (!atomic_load(&busy->stop) && driver_wait(d, REQUESTS, NULL, NULL, WAIT_MS)) {
		atomic_fetch_add(&busy->done, 1);
		driver_put(d, REQUESTS, 3, segments);
		driver_kick(d, REQUESTS);
	}
	return NULL;
}

static void test_virtio_blk_goes_while_requests_never_end(void **state)
{
	struct busy busy = { .f = *state };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, keep_busy, &busy), 0);
	while (atomic_load(&busy.done) < 100)
		sched_yield();
	virtio_blk_unplug(busy.f->driver.device);
	/* And what comes then is answered. */
	for (unsigned before = atomic_load(&busy.done); atomic_load(&busy.done) < before + 200;)
		sched_yield();
	atomic_store(&busy.stop, true);
	pthread_join(thread, NULL);
	assert_true(atomic_load(&busy.f->driver.device->refused) >= 100);
}

/* Its threads wait for the doorbell, which is the transport's to close. */
static void test_virtio_blk_ends_with_its_transport(void **state)
{
	struct fixture f = { .file = memfd_create("disk", MFD_CLOEXEC) };
	const struct virtio_blk_backend backend = backend_of(&f, false, "a-name");
	struct guest_memory memory;
	struct virtio_mmio mmio;
	struct err err = ERR_INIT;
	struct virtio_device *device = virtio_blk_create(&backend, &err);

	(void)state;
	assert_int_equal(guest_memory_create(&memory, GUEST_HUGE_PAGE, &err), 0);
	virtio_mmio_init(&mmio, device, &memory, -1);
	device->kick_fds[REQUESTS] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int kick = device->kick_fds[REQUESTS];
	assert_int_equal(virtio_blk_start(device, &err), 0);
	/* Until one of them waits there. */
	nanosleep(&(const struct timespec){ .tv_nsec = 100000000 }, NULL);
	alarm(WAIT_MS / 1000);
	virtio_mmio_destroy(&mmio);
	alarm(0);
	assert_int_equal(fcntl(kick, F_GETFD), -1);
	guest_memory_destroy(&memory);
	close(f.file);
}

static unsigned long blocked_signals(const char *thread)
{
	char path[300], line[128];
	unsigned long blocked = 0;

	snprintf(path, sizeof path, "/proc/self/task/%s/status", thread);
	FILE *status = fopen(path, "re");
	assert_non_null(status);
	while (fgets(line, sizeof line, status) && sscanf(line, "SigBlk: %lx", &blocked) != 1)
		;
	fclose(status);
	return blocked;
}

/* A page of the window for files may be gone (fs_window.h): whoever touches it must be able to take the signal. */
static void test_virtio_blk_threads_take_bus_errors(void **state)
{
	const struct timespec moment = { .tv_nsec = 1000000 };
	DIR *dir = opendir("/proc/self/task");
	unsigned threads = 0;

	(void)state;
	assert_non_null(dir);
	for (const struct dirent *entry; (entry = readdir(dir));) {
		if (entry->d_name[0] == '.' || atoi(entry->d_name) == getpid())
			continue;
		/* One that has not begun yet takes none at all. */
		for (unsigned i = 0; i < WAIT_MS && blocked_signals(entry->d_name) & 1ul << (SIGBUS - 1); i++)
			nanosleep(&moment, NULL);
		assert_false(blocked_signals(entry->d_name) & 1ul << (SIGBUS - 1));
		assert_true(blocked_signals(entry->d_name) & 1ul << (SIGTERM - 1));
		threads++;
	}
	closedir(dir);
	assert_true(threads > 0);
}

static void test_virtio_blk_a_shorter_file_is_an_error(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ftruncate(f->file, 3 * BLK_SECTOR), 0);
	assert_int_equal(ask(f, READ, 2, 2 * BLK_SECTOR), IOERR);
	assert_int_equal(ask(f, READ, 2, BLK_SECTOR), OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_virtio_blk_reads_and_writes),
		TEST(test_virtio_blk_beyond_its_end_nothing_is_done),
		TEST(test_virtio_blk_ranges_become_zero),
		cmocka_unit_test_setup_teardown(test_virtio_blk_read_only_is_never_written, setup_read_only, teardown),
		TEST(test_virtio_blk_malformed_requests_are_dropped),
		TEST(test_virtio_blk_requests_overlap),
		TEST(test_virtio_blk_goes_and_another_comes),
		TEST(test_virtio_blk_goes_while_requests_never_end),
		TEST(test_virtio_blk_threads_take_bus_errors),
		cmocka_unit_test(test_virtio_blk_ends_with_its_transport),
		TEST(test_virtio_blk_a_shorter_file_is_an_error),
	};

	return cmocka_run_group_tests_name("virtio_blk", tests, NULL, NULL);
}
