/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest can rewrite while it is being read, is read once. A page of guest memory is taken away, so that each
 * access to it faults; the handler notes where, gives the page back for one instruction (the processor's trap flag),
 * and then the guest's other processor has had its turn: what is read next is not what was read before.
 */
#include "tests/unit/virtq_driver.h"

#include "common/loop.h"
#include "vmm/fs_abi.h"
#include "vmm/fs_server.h"
#include "vmm/net_header.h"
#include "vmm/virtio_net.h"
#include "vmm/virtio_vsock.h"
#include "vmm/vsock_packet.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <ucontext.h>

#include <cmocka.h>

enum { PAGE = 4096, PAGES_MAX = 4, ACCESSES_MAX = 256, TRAP_FLAG = 0x100 };

/* --- watching pages -------------------------------------------------------------------------------------------- */

struct accesses {
	uintptr_t at[ACCESSES_MAX];
	unsigned count;
};

static struct {
	uint8_t *pages[PAGES_MAX];
	unsigned count;
	void (*rewrite)(uintptr_t at); /* after an access; NULL: nobody does */
	uintptr_t last;
	struct accesses seen;
} watched;

static void protect(int protection)
{
	for (unsigned i = 0; i < watched.count; i++)
		if (mprotect(watched.pages[i], PAGE, protection))
			abort();
}

static bool is_watched(uintptr_t at)
{
	for (unsigned i = 0; i < watched.count; i++)
		if (at - (uintptr_t)watched.pages[i] < PAGE)
			return true;
	return false;
}

static void access_began(int number, siginfo_t *info, void *context)
{
	ucontext_t *user = context;

	(void)number;
	watched.last = (uintptr_t)info->si_addr;
	if (!is_watched(watched.last) || watched.seen.count == ACCESSES_MAX)
		abort();
	watched.seen.at[watched.seen.count++] = watched.last;
	protect(PROT_READ | PROT_WRITE);
	user->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void access_ended(int number, siginfo_t *info, void *context)
{
	ucontext_t *user = context;

	(void)number;
	(void)info;
	if (watched.rewrite)
		watched.rewrite(watched.last);
	protect(PROT_NONE);
	user->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
}

static void watch(void (*rewrite)(uintptr_t at), unsigned count, uint8_t *const pages[])
{
	const struct sigaction began = { .sa_sigaction = access_began, .sa_flags = SA_SIGINFO };
	const struct sigaction ended = { .sa_sigaction = access_ended, .sa_flags = SA_SIGINFO };

	sigaction(SIGSEGV, &began, NULL);
	sigaction(SIGTRAP, &ended, NULL);
	watched.count = count;
	watched.rewrite = rewrite;
	watched.seen.count = 0;
	memcpy(watched.pages, pages, count * sizeof *pages);
	protect(PROT_NONE);
}

static struct accesses unwatch(void)
{
	protect(PROT_READ | PROT_WRITE);
	watched.count = 0;
	signal(SIGSEGV, SIG_DFL);
	signal(SIGTRAP, SIG_DFL);
	return watched.seen;
}

/* The accesses that one copy of these bytes makes. */
static void add_copy(struct accesses *to, uint8_t *page, size_t offset, size_t length)
{
	const struct iovec segment = { page, PAGE };
	uint8_t copy[PAGE];

	watch(NULL, 1, &page);
	iovec_read(&segment, 1, offset, copy, length);
	struct accesses seen = unwatch();
	memcpy(to->at + to->count, seen.at, seen.count * sizeof *seen.at);
	to->count += seen.count;
}

static void assert_same(const struct accesses *got, const struct accesses *wanted)
{
	assert_int_equal(got->count, wanted->count);
	assert_memory_equal(got->at, wanted->at, got->count * sizeof *got->at);
}

/* --- queues ---------------------------------------------------------------------------------------------------- */

static const struct virtio_device_ops plain_ops = { .name = "plain", .queue_size = VIRTQ_SIZE_MAX };

static struct driver queue_driver;
static uint64_t indirect_table;

/* Lengths that end beyond memory, links and heads out of range: each where the right one has just been read. */
static void spoil_queue(uintptr_t at)
{
	uint8_t *host = queue_driver.memory.ranges[0].host;
	uint64_t place = at - (uintptr_t)host;

	if (place >= queue_driver.queues[0].avail && place < queue_driver.queues[0].used) {
		*(uint16_t *)(void *)(host + place) = 0x7fff;
		return;
	}
	struct driver_descriptor *descriptor = (void *)(host + (place & ~15ull));
	descriptor->length = 65536;
	descriptor->next = 0x7fff;
	if (place % 16)
		descriptor->address = ~0ull;
}

static void check_chain(const struct driver *d, const struct virtq_chain *chain)
{
	const uint8_t *start = d->memory.ranges[0].host, *end = start + DRIVER_MEMORY;
	size_t sum = 0;

	for (unsigned i = 0; i < chain->readable_count + chain->writable_count; i++) {
		const uint8_t *at = chain->segments[i].iov_base;
		size_t length = chain->segments[i].iov_len;

		assert_true(length && at >= start && at < end && length <= (size_t)(end - at));
		sum += length;
	}
	assert_int_equal(sum, chain->readable_length + chain->writable_length);
}

static void test_double_fetch_descriptors_and_indices(void **state)
{
	struct driver *d = &queue_driver;
	struct virtio_device device;
	struct virtq_chain chain;

	(void)state;
	virtio_device_init(&device, &plain_ops, 1);
	driver_init(d, &device);
	assert_true(driver_queue_start(d, 0, 8, false));
	d->heap = (d->heap + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	indirect_table = driver_alloc(d, PAGE);
	struct driver_descriptor *table = driver_at(d, indirect_table);
	const struct driver_descriptor last = { .address = DRIVER_MEMORY - 16, .length = 16 };
	for (unsigned i = 0; i < 4; i++)
		table[i] = (struct driver_descriptor){ last.address, 16, i < 3 ? DRIVER_DESC_NEXT : DRIVER_DESC_WRITE,
						       (uint16_t)(i + 1) };
	driver_set_descriptor(d, 0, 0, (struct driver_descriptor){ last.address, 16, DRIVER_DESC_NEXT, 1 });
	driver_set_descriptor(d, 0, 1, (struct driver_descriptor){ indirect_table, 64, DRIVER_DESC_INDIRECT, 0 });
	driver_offer(d, 0, 0);

	uint8_t *const pages[] = { driver_at(d, d->queues[0].desc), driver_at(d, d->queues[0].avail), (void *)table };
	watch(spoil_queue, 3, pages);
	int got = virtqueue_pop(&device.queues[0], &chain);
	struct accesses seen = unwatch();

	for (unsigned i = 0; i < seen.count; i++)
		for (unsigned j = 0; j < i; j++)
			assert_int_not_equal(seen.at[i], seen.at[j]);
	/* Two numbers of the ring, and six descriptors in two halves at most. */
	assert_in_range(seen.count, 2 + 1, 2 + 12);
	assert_int_equal(seen.at[0], (uintptr_t)pages[1] + 2);
	assert_int_equal(seen.at[1], (uintptr_t)pages[1] + 4);
	/* Refused where the compiler reads a descriptor in halves, since the second one was spoilt; taken as it was
	 * else. */
	if (got > 0) {
		assert_int_equal(chain.head, 0);
		check_chain(d, &chain);
	}
	device.queues[0].ready = false;
	driver_stop(d);
	virtio_device_fini(&device);
}

/* --- FUSE ------------------------------------------------------------------------------------------------------ */

static uint8_t *fuse_page;
static unsigned header_accesses, all_accesses;

/* Once it was read: another length, another operation, on another node; names that lead out. */
static void spoil_request(uintptr_t at)
{
	(void)at;
	if (watched.seen.count >= header_accesses)
		memset(fuse_page, 0xff, sizeof(struct fuse_in_header));
	if (watched.seen.count >= all_accesses)
		memset(fuse_page + sizeof(struct fuse_in_header), '/', PAGE - sizeof(struct fuse_in_header));
}

/* The error of the reply, as errno has it. */
static int ask(struct fs_worker *worker, uint32_t opcode, const void *args, size_t length)
{
	struct fuse_in_header header = {
		.len = (uint32_t)(sizeof header + length), .opcode = opcode, .unique = 7, .nodeid = FS_ROOT_ID
	};
	static uint8_t reply[PAGE];
	const struct iovec in = { fuse_page, header.len }, out = { reply, sizeof reply };
	struct accesses wanted = { .count = 0 };
	struct fuse_out_header answer;

	memcpy(fuse_page, &header, sizeof header);
	memcpy(fuse_page + sizeof header, args, length);
	add_copy(&wanted, fuse_page, 0, sizeof header);
	header_accesses = wanted.count;
	add_copy(&wanted, fuse_page, sizeof header, length);
	all_accesses = wanted.count;
	watch(spoil_request, 1, &fuse_page);
	fs_worker_handle(worker, (struct fs_segments){ &in, 1, in.iov_len },
			 (struct fs_segments){ &out, 1, out.iov_len });
	struct accesses seen = unwatch();
	assert_same(&seen, &wanted);
	memcpy(&answer, reply, sizeof answer);
	assert_int_equal(answer.unique, 7);
	return -answer.error;
}

static void test_double_fetch_fuse_requests(void **state)
{
	static const struct {
		uint32_t opcode;
		size_t before, name; /* bytes before a name, and the name's with its zero */
		int error;
	} rows[] = {
		{ FUSE_LOOKUP, 0, 5, ENOENT },
		{ FUSE_GETATTR, sizeof(struct fuse_getattr_in), 0, 0 },
		{ FUSE_GETXATTR, sizeof(struct fuse_getxattr_in), 5, EOPNOTSUPP },
		{ FUSE_OPENDIR, sizeof(struct fuse_open_in), 0, 0 },
		{ FUSE_STATFS, 0, 0, 0 },
		{ FUSE_SYNCFS, sizeof(struct fuse_syncfs_in), 0, 0 },
		{ FUSE_SETATTR, sizeof(struct fuse_setattr_in), 0, EROFS },
		{ FUSE_UNLINK, 0, 5, EROFS },
		{ FUSE_MKDIR, sizeof(struct fuse_mkdir_in), 5, EROFS },
		{ FUSE_CREATE, sizeof(struct fuse_create_in), 5, EROFS },
		{ FUSE_WRITE, sizeof(struct fuse_write_in), 0, EISDIR },
		{ FUSE_READ, sizeof(struct fuse_read_in), 0, EISDIR },
	};
	struct fuse_init_in init = { .major = FUSE_KERNEL_VERSION, .minor = FS_FUSE_MINOR };
	struct err err = ERR_INIT;
	struct fs_worker worker;
	struct fs_server *server = fs_server_create((struct fs_limits){ 64, 64 }, -1, &err);

	(void)state;
	assert_non_null(server);
	assert_int_equal(fs_worker_init(&worker, server, &err), 0);
	fuse_page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(ask(&worker, FUSE_INIT, &init, sizeof init), 0);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint8_t args[256] = { 0 };

		memcpy(args + rows[i].before, "name", rows[i].name);
		int error = ask(&worker, rows[i].opcode, args, rows[i].before + rows[i].name);
		if (error != rows[i].error)
			fail_msg("operation %u: %s", rows[i].opcode, strerror(error));
	}
	munmap(fuse_page, PAGE);
	fs_worker_fini(&worker);
	fs_server_destroy(server);
}

/* --- packets --------------------------------------------------------------------------------------------------- */

static uint8_t *packet_page;
static unsigned packet_accesses;

static void spoil_packet(uintptr_t at)
{
	(void)at;
	if (watched.seen.count >= packet_accesses)
		memset(packet_page, 0xff, 64);
}

/* Sends a header, alone in its page, and 60 bytes elsewhere. The header is to be read in one copy. */
static void transmit(struct driver *d, unsigned queue, const void *header, size_t length)
{
	struct accesses wanted = { .count = 0 };

	d->heap = (d->heap + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	uint64_t at = driver_alloc(d, PAGE), data = driver_alloc(d, 64);

	packet_page = driver_at(d, at);
	memcpy(packet_page, header, length);
	add_copy(&wanted, packet_page, 0, length);
	packet_accesses = wanted.count;
	driver_put(d, queue, 2, (struct driver_segment[]){ { at, (uint32_t)length, false }, { data, 60, false } });
	watch(spoil_packet, 1, &packet_page);
	driver_kick(d, queue);
	struct accesses seen = unwatch();
	assert_same(&seen, &wanted);
	assert_true(driver_take(d, queue, NULL, NULL));
}

static void test_double_fetch_network_headers(void **state)
{
	const struct net_header header = { .flags = 1, .csum_start = 34, .csum_offset = 16 };
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 7 };
	struct err err = ERR_INIT;
	struct loop *loop = loop_create(&err);
	struct driver d;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	driver_start(&d, virtio_net_create(loop, mac, pair[0], -1, &err), NET_F_CSUM);
	transmit(&d, 1, &header, sizeof header);
	/* What was checked is what was sent. */
	uint8_t got[128];
	assert_int_equal(recv(pair[1], got, sizeof got, 0), sizeof header + 60);
	assert_memory_equal(got, &header, sizeof header);
	driver_stop(&d);
	loop_destroy(loop);
	close(pair[1]);
}

static void test_double_fetch_vsock_headers(void **state)
{
	const struct vsock_header header = { .src_cid = 3,
					     .dst_cid = VSOCK_CID_HOST,
					     .src_port = 1,
					     .dst_port = 2,
					     .len = 60,
					     .type = VSOCK_TYPE_STREAM,
					     .op = VSOCK_OP_RW };
	uint8_t packed[VSOCK_HEADER_SIZE];
	struct err err = ERR_INIT;
	struct loop *loop = loop_create(&err);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct driver d;

	(void)state;
	assert_int_equal(listen(listener, 1), -1); /* bound to nothing: nobody comes */
	vsock_header_pack(packed, &header);
	driver_start(&d, virtio_vsock_create(loop, 3, listener, &err), 0);
	transmit(&d, 1, packed, sizeof packed);
	assert_int_equal(d.device->refused, 0);
	driver_stop(&d);
	loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_double_fetch_descriptors_and_indices),
		cmocka_unit_test(test_double_fetch_fuse_requests),
		cmocka_unit_test(test_double_fetch_network_headers),
		cmocka_unit_test(test_double_fetch_vsock_headers),
	};

	return cmocka_run_group_tests_name("double_fetch", tests, NULL, NULL);
}
