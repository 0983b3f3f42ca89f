/* SPDX-License-Identifier: Apache-2.0 */
/* The device: requests through rings in ordinary memory, file threads, reset. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/unit/virtq_driver.h"
#include "vmm/fs_abi.h"
#include "vmm/fs_server.h"
#include "vmm/virtio_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

enum { WAIT_MS = 10000 };

static struct driver d;
static char dir[64];

struct request {
	uint64_t in, out; /* guest addresses */
	uint16_t head;
};

static int start(void **state)
{
	struct err err = ERR_INIT;
	struct virtio_device *device = virtio_fs_create("bulkhead", 4, &fs_caching_auto, -1, &err);

	(void)state;
	if (!device)
		fail_msg("%s", err.text);
	snprintf(dir, sizeof dir, "/tmp/bulkhead-fs-XXXXXX");
	assert_non_null(mkdtemp(dir));
	int fd = open(dir, O_PATH | O_CLOEXEC);
	if (virtio_fs_add_share(device, "s", fd, false, &err))
		fail_msg("%s", err.text);
	driver_start(&d, device, DRIVER_EVENT_IDX | 1ull << 28 /* INDIRECT_DESC */);
	return 0;
}

static int stop(void **state)
{
	char command[128];

	(void)state;
	driver_stop(&d);
	snprintf(command, sizeof command, "rm -r %s", dir);
	return system(command);
}

/* Puts a request on the ring: header and arguments in two segments, `room` bytes behind the reply's header. */
static struct request put(uint32_t opcode, uint64_t node, const void *args, uint32_t length, uint32_t room)
{
	struct fuse_in_header header = { .len = (uint32_t)sizeof header + length,
					 .opcode = opcode,
					 .unique = 5,
					 .nodeid = node,
					 .uid = geteuid(),
					 .gid = getegid() };
	struct request request = { .in = driver_alloc(&d, header.len), .out = driver_alloc(&d, room + 16) };
	struct driver_segment segments[4] = {
		{ request.in, sizeof header, false },
		{ request.in + sizeof header, length, false },
		{ request.out, 16, true },
		{ request.out + 16, room, true },
	};
	unsigned first = length ? 0 : 1, count = room ? 4 : 3;

	if (first)
		segments[1] = segments[0];
	memcpy(driver_at(&d, request.in), &header, sizeof header);
	if (length)
		memcpy((uint8_t *)driver_at(&d, request.in) + sizeof header, args, length);
	request.head = driver_put(&d, 1, count - first, segments + first);
	return request;
}

/* The next used entry. As a driver with event indexes does, asks for the interrupt first, and looks again. */
static bool wait_used(unsigned index, uint32_t *head, uint32_t *written)
{
	if (driver_take(&d, index, head, written))
		return true;
	driver_set_used_event(&d, index, d.queues[index].used_index);
	atomic_thread_fence(memory_order_seq_cst);
	return driver_wait(&d, index, head, written, WAIT_MS);
}

/* Waits for the one request that is under way; returns its error. */
static int result(struct request request)
{
	uint32_t head, written;
	struct fuse_out_header *reply = driver_at(&d, request.out);

	assert_true(wait_used(1, &head, &written));
	assert_int_equal(head, request.head);
	assert_int_equal(written, reply->len);
	assert_int_equal(reply->unique, 5);
	return -reply->error;
}

static int call(uint32_t opcode, uint64_t node, const void *args, uint32_t length, uint32_t room, struct request *out)
{
	*out = put(opcode, node, args, length, room);
	driver_kick(&d, 1);
	return result(*out);
}

static int init(void)
{
	struct fuse_init_in in = { .major = 7, .minor = 41 };
	struct request request;

	return call(FUSE_INIT, 0, &in, sizeof in, sizeof(struct fuse_init_out), &request);
}

static uint64_t look_up(uint64_t parent, const char *name)
{
	struct request request;

	assert_int_equal(
		call(FUSE_LOOKUP, parent, name, (uint32_t)strlen(name) + 1, sizeof(struct fuse_entry_out), &request),
		0);
	return ((struct fuse_entry_out *)driver_at(&d, request.out + 16))->nodeid;
}

static void config_has_tag_and_queue_count(void **state)
{
	uint8_t config[40];

	(void)state;
	assert_int_equal(d.device->ops->device_id, 26);
	assert_int_equal(d.device->ops->config_size, sizeof config);
	d.device->ops->config_read(d.device, 0, config, sizeof config);
	assert_string_equal(config, "bulkhead");
	assert_int_equal(config[36], 1);
	assert_int_equal(config[37] | config[38] | config[39], 0);
}

static void create_bad_tag_is_refused(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_null(virtio_fs_create("", 4, &fs_caching_auto, -1, &err));
	assert_null(virtio_fs_create("a\nb", 4, &fs_caching_auto, -1, &err));
	assert_null(virtio_fs_create("0123456789012345678901234567890123456", 4, &fs_caching_auto, -1, &err));
	assert_non_null(strstr(err.text, "tag"));
}

static void file_is_written_and_read(void **state)
{
	struct {
		struct fuse_create_in in;
		char name[8];
	} create = { { .flags = O_RDWR, .mode = 0644 }, "file" };
	struct {
		struct fuse_write_in in;
		char data[6];
	} write = { .in = { .size = 6 }, .data = "hello" };
	struct fuse_read_in read = { .size = 100 };
	struct request request;

	(void)state;
	assert_int_equal(init(), 0);
	uint64_t top = look_up(1, "s");
	assert_int_equal(call(FUSE_CREATE, top, &create, sizeof create.in + 5,
			      sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out), &request),
			 0);
	struct fuse_entry_out *entry = driver_at(&d, request.out + 16);
	struct fuse_open_out *opened = (void *)(entry + 1);
	uint64_t node = entry->nodeid;

	write.in.fh = read.fh = opened->fh;
	assert_int_equal(call(FUSE_WRITE, node, &write, sizeof write.in + 6, 8, &request), 0);
	assert_int_equal(call(FUSE_READ, node, &read, sizeof read, 100, &request), 0);
	assert_string_equal(driver_at(&d, request.out + 16), "hello");
	assert_int_equal(((struct fuse_out_header *)driver_at(&d, request.out))->len, 16 + 6);
	assert_true(atomic_load(&d.device->requests) >= 5);
	assert_int_equal(atomic_load(&d.device->refused), 0);
}

static void many_at_once_are_each_answered_once(void **state)
{
	enum { AT_ONCE = 60 };
	struct request requests[AT_ONCE];
	uint64_t fhs[8];

	(void)state;
	assert_int_equal(init(), 0);
	uint64_t top = look_up(1, "s"), nodes[8];
	for (unsigned i = 0; i < 8; i++) {
		char path[96], name[8];
		FILE *file;
		struct fuse_open_in in = { .flags = O_RDONLY };
		struct request request;

		snprintf(name, sizeof name, "f%u", i);
		snprintf(path, sizeof path, "%s/%s", dir, name);
		file = fopen(path, "we");
		assert_non_null(file);
		for (unsigned k = 0; k < 4096; k++)
			fputc((int)('a' + i), file);
		fclose(file);
		nodes[i] = look_up(top, name);
		assert_int_equal(call(FUSE_OPEN, nodes[i], &in, sizeof in, sizeof(struct fuse_open_out), &request), 0);
		fhs[i] = ((struct fuse_open_out *)driver_at(&d, request.out + 16))->fh;
	}
	for (unsigned round = 0; round < 200; round++) {
		bool seen[256] = { false };

		for (unsigned i = 0; i < AT_ONCE; i++) {
			struct fuse_read_in in = { .fh = fhs[i % 8], .size = 4096 };

			requests[i] = put(FUSE_READ, nodes[i % 8], &in, sizeof in, 4096);
			if (i % 7 == 0)
				driver_kick(&d, 1);
		}
		driver_kick(&d, 1);
		for (unsigned i = 0; i < AT_ONCE; i++) {
			uint32_t head, written;

			assert_true(wait_used(1, &head, &written));
			assert_int_equal(written, 16 + 4096);
			assert_false(seen[head]);
			seen[head] = true;
		}
		for (unsigned i = 0; i < AT_ONCE; i++) {
			assert_true(seen[requests[i].head]);
			assert_int_equal(*(uint8_t *)driver_at(&d, requests[i].out + 16), 'a' + i % 8);
			assert_int_equal(*(uint8_t *)driver_at(&d, requests[i].out + 16 + 4095), 'a' + i % 8);
		}
	}
}

static void forget_goes_by_the_priority_queue(void **state)
{
	struct {
		struct fuse_in_header header;
		struct fuse_forget_in in;
	} forget = { { .len = sizeof forget, .opcode = FUSE_FORGET }, { 2 } };
	struct fuse_getattr_in in = { 0 };
	struct request request;
	uint32_t written;

	(void)state;
	assert_int_equal(init(), 0);
	forget.header.nodeid = look_up(1, "s");
	uint64_t address = driver_alloc(&d, sizeof forget);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(call(FUSE_GETATTR, forget.header.nodeid, &in, sizeof in, sizeof(struct fuse_attr_out),
				      &request),
				 i ? ESTALE : 0);
		memcpy(driver_at(&d, address), &forget, sizeof forget);
		driver_put(&d, 0, 1, &(struct driver_segment){ address, sizeof forget, false });
		driver_kick(&d, 0);
		assert_true(wait_used(0, NULL, &written));
		assert_int_equal(written, 0);
	}
}

static void forget_needs_no_kick_while_requests_come(void **state)
{
	struct {
		struct fuse_in_header header;
		struct fuse_forget_in in;
	} forget = { { .len = sizeof forget, .opcode = FUSE_FORGET }, { 1 } };
	struct fuse_getattr_in in = { 0 };
	struct request request;
	uint32_t written;

	(void)state;
	assert_int_equal(init(), 0);
	for (unsigned i = 0; i < 50; i++) {
		forget.header.nodeid = look_up(1, "s");
		uint64_t address = driver_alloc(&d, sizeof forget);
		memcpy(driver_at(&d, address), &forget, sizeof forget);
		driver_put(&d, 0, 1, &(struct driver_segment){ address, sizeof forget, false });
		/* Either with the next request or, without one, a moment later, and then with an interrupt. */
		if (i & 1)
			assert_int_equal(call(FUSE_GETATTR, 1, &in, sizeof in, sizeof(struct fuse_attr_out), &request),
					 0);
		assert_true(wait_used(0, NULL, &written));
		assert_int_equal(call(FUSE_GETATTR, forget.header.nodeid, &in, sizeof in, sizeof(struct fuse_attr_out),
				      &request),
				 ESTALE);
	}
}

static void reset_forgets_and_goes_on(void **state)
{
	struct request request;

	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		assert_int_equal(init(), 0);
		look_up(1, "s");
		/* Leave some under way. */
		for (unsigned i = 0; i < 30; i++)
			put(FUSE_LOOKUP, 1, "s", 2, sizeof(struct fuse_entry_out));
		driver_kick(&d, 1);
		driver_reset(&d);
		/* Nothing is written into the guest's memory any more: what the used ring says now is all. */
		memset(driver_at(&d, 0), 0x5a, DRIVER_MEMORY);
		driver_kick(&d, 1);
		usleep(1000);
		for (size_t i = 0; i < DRIVER_MEMORY; i += 512)
			assert_int_equal(*(uint8_t *)driver_at(&d, i), 0x5a);
		driver_activate(&d, round & 1 ? DRIVER_EVENT_IDX : 0, 64);
		assert_int_equal(call(FUSE_LOOKUP, 1, "s", 2, sizeof(struct fuse_entry_out), &request), EIO);
	}
}

static void broken_ring_fails_the_device_once(void **state)
{
	(void)state;
	driver_set_avail_index(&d, 1, 5000);
	driver_kick(&d, 1);
	for (unsigned i = 0; i < 1000 && !atomic_load(&d.failures); i++)
		usleep(10000);
	driver_kick(&d, 1);
	driver_kick(&d, 0);
	usleep(10000);
	assert_int_equal(atomic_load(&d.failures), 1);
	assert_non_null(d.failure);
	driver_reset(&d);
	driver_activate(&d, 0, 256);
	assert_int_equal(init(), 0);
}

static void chain_without_a_reply_segment_is_given_back(void **state)
{
	struct fuse_in_header header = { .len = sizeof header, .opcode = FUSE_STATFS, .nodeid = 1 };
	uint64_t address = driver_alloc(&d, sizeof header);
	uint32_t written;

	(void)state;
	assert_int_equal(init(), 0);
	memcpy(driver_at(&d, address), &header, sizeof header);
	driver_put(&d, 1, 1, &(struct driver_segment){ address, sizeof header, false });
	driver_put(&d, 1, 1, &(struct driver_segment){ address, sizeof header, true });
	driver_kick(&d, 1);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(wait_used(1, NULL, &written));
		assert_int_equal(written, 0);
	}
	assert_int_equal(atomic_load(&d.device->refused), 2);
}

static void shares_come_and_go_while_active(void **state)
{
	struct err err = ERR_INIT;
	struct request request;

	(void)state;
	assert_int_equal(init(), 0);
	assert_int_equal(virtio_fs_add_share(d.device, "late", open(dir, O_PATH | O_CLOEXEC), true, &err), 0);
	assert_int_not_equal(look_up(1, "late"), 0);
	assert_int_equal(virtio_fs_remove_share(d.device, "late", &err), 0);
	assert_int_equal(call(FUSE_LOOKUP, 1, "late", 5, sizeof(struct fuse_entry_out), &request), ENOENT);
	assert_int_equal(virtio_fs_remove_share(d.device, "late", &err), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

/* A template's guest mounts before there are shares; one on overlayfs must be opened nevertheless. */
static void clone_opens_files_where_that_makes_a_difference(void **state)
{
	static const struct {
		const char *path;
		bool openless;
	} shares[] = { { "/dev/shm", true }, { "/proc", false } };

	(void)state;
	for (unsigned i = 0; i < sizeof shares / sizeof *shares; i++) {
		struct fs_saved saved = { .minor = FS_FUSE_MINOR, .openless = 1 }, again;
		struct err err = ERR_INIT;
		struct virtio_device *device = virtio_fs_create("bulkhead", 1, &fs_caching_auto, -1, &err);

		assert_non_null(device);
		assert_int_equal(
			virtio_fs_add_share(device, "s", open(shares[i].path, O_PATH | O_CLOEXEC), false, &err), 0);
		assert_int_equal(virtio_fs_restore(device, &saved, &err), 0);
		assert_int_equal(virtio_fs_save(device, true, &again, &err), 0);
		assert_int_equal(again.openless, shares[i].openless);
		device->ops->destroy(device);
	}
}

/* The last kick may have come, and its thread not: what it would have begun waits for the end of the save. */
static void no_request_is_begun_while_it_is_saved(void **state)
{
	struct fs_saved saved;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(init(), 0);
	assert_int_equal(virtio_fs_save(d.device, true, &saved, &err), 0);
	struct request request = put(FUSE_LOOKUP, 1, "s", 2, sizeof(struct fuse_entry_out));
	driver_kick(&d, 1);
	assert_false(driver_wait(&d, 1, NULL, NULL, 100));
	virtio_fs_go_on(d.device);
	assert_int_equal(result(request), 0);
	/* Now it has looked at something, and that is no template; requests go on again all the same. */
	assert_int_equal(virtio_fs_save(d.device, true, &saved, &err), -1);
	virtio_fs_go_on(d.device);
	assert_int_not_equal(look_up(1, "s"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(config_has_tag_and_queue_count),
		cmocka_unit_test(create_bad_tag_is_refused),
		TEST(file_is_written_and_read),
		TEST(many_at_once_are_each_answered_once),
		TEST(forget_goes_by_the_priority_queue),
		TEST(reset_forgets_and_goes_on),
		TEST(broken_ring_fails_the_device_once),
		TEST(chain_without_a_reply_segment_is_given_back),
		TEST(shares_come_and_go_while_active),
		TEST(forget_needs_no_kick_while_requests_come),
		TEST(no_request_is_begun_while_it_is_saved),
		cmocka_unit_test(clone_opens_files_where_that_makes_a_difference),
	};

	return cmocka_run_group_tests_name("virtio_fs", tests, NULL, NULL);
}
