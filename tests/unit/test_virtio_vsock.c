/* SPDX-License-Identifier: Apache-2.0 */
/* The socket device over rings in ordinary memory: a small guest on one side, host programs on the other. */
#include "tests/unit/virtq_driver.h"

#include "common/auto.h"
#include "common/loop.h"
#include "vmm/virtio_vsock.h"
#include "vmm/vsock_conn.h"
#include "vmm/vsock_packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

enum { RX, TX };
enum { CID = 42, PORT = 1024, RX_BUFFER = 4096 + VSOCK_HEADER_SIZE, QUEUE = 32, PROGRAMS = 320 };

struct packet {
	struct vsock_header header;
	char data[4096];
};

struct fixture {
	struct driver driver;
	struct virtio_device *device;
	struct loop *loop;
	struct sockaddr_un address;
	socklen_t address_length;
	uint64_t rx_address[QUEUE]; /* by head */
	uint64_t tx_address;
	uint32_t buf_alloc; /* what the guest says of its buffer */
	int programs[PROGRAMS];
};

static void offer_rx(struct fixture *f, unsigned count)
{
	while (count--) {
		struct driver_queue *q = &f->driver.queues[RX];
		uint64_t address = f->rx_address[q->next_free];

		driver_put(&f->driver, RX, 1, (struct driver_segment[]){ { address, RX_BUFFER, true } });
	}
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct err err = ERR_INIT;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	f->address.sun_family = AF_UNIX; /* an abstract address, of the kernel's choice */
	assert_return_code(bind(fd, (struct sockaddr *)&f->address, sizeof f->address.sun_family), errno);
	f->address_length = sizeof f->address;
	getsockname(fd, (struct sockaddr *)&f->address, &f->address_length);
	assert_return_code(listen(fd, 128), errno);
	f->loop = loop_create(&err);
	f->device = virtio_vsock_create(f->loop, CID, fd, &err);
	assert_non_null(f->device);
	driver_init(&f->driver, f->device);
	for (unsigned i = 0; i < QUEUE; i++)
		f->rx_address[i] = driver_alloc(&f->driver, RX_BUFFER);
	f->tx_address = driver_alloc(&f->driver, VSOCK_HEADER_SIZE + (1 << 20));
	f->buf_alloc = 1 << 18;
	for (unsigned i = 0; i < PROGRAMS; i++)
		f->programs[i] = -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < PROGRAMS; i++)
		close_fd(&f->programs[i]);
	driver_stop(&f->driver);
	loop_destroy(f->loop);
	free(f);
	return 0;
}

static void activate(struct fixture *f)
{
	driver_activate(&f->driver, DRIVER_EVENT_IDX, QUEUE);
	offer_rx(f, QUEUE - 1);
}

static struct fixture *start(void **state)
{
	struct fixture *f = *state;

	activate(f);
	virtio_vsock_set_ready(f->device);
	return f;
}

static void run_loop(struct fixture *f)
{
	for (int i = 0; i < 20; i++)
		assert_return_code(loop_step(f->loop, 0), errno);
}

static int program(struct fixture *f, unsigned index, const char *text)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	f->programs[index] = fd;
	assert_return_code(connect(fd, (struct sockaddr *)&f->address, f->address_length), errno);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	run_loop(f);
	return fd;
}

static const char *reads(int fd)
{
	static char text[4096];
	ssize_t n = read(fd, text, sizeof text - 1);

	if (n <= 0)
		return n == 0 ? "EOF" : errno == EAGAIN ? "" : strerror(errno);
	text[n] = '\0';
	return text;
}

/* The next packet the guest receives; its buffer goes back to the device. */
static bool receive(struct fixture *f, struct packet *packet)
{
	uint32_t head, written;

	run_loop(f);
	if (!driver_take(&f->driver, RX, &head, &written))
		return false;
	const uint8_t *bytes = driver_at(&f->driver, f->rx_address[head]);
	assert_in_range(written, VSOCK_HEADER_SIZE, RX_BUFFER);
	vsock_header_unpack(bytes, &packet->header);
	assert_int_equal(packet->header.len, written - VSOCK_HEADER_SIZE);
	assert_int_equal(packet->header.src_cid, VSOCK_CID_HOST);
	assert_int_equal(packet->header.dst_cid, CID);
	memcpy(packet->data, bytes + VSOCK_HEADER_SIZE, packet->header.len);
	/* Heads go round in order, and so do the buffers. */
	offer_rx(f, 1);
	driver_kick(&f->driver, RX);
	return true;
}

static void expect_none(struct fixture *f)
{
	struct packet packet;

	if (receive(f, &packet))
		fail_msg("unexpected packet \"%s\"", vsock_op_name(packet.header.op));
}

static struct packet expect(struct fixture *f, enum vsock_op op)
{
	struct packet packet;

	if (!receive(f, &packet))
		fail_msg("expected \"%s\", got nothing", vsock_op_name(op));
	if (packet.header.op != op)
		fail_msg("expected \"%s\", got \"%s\"", vsock_op_name(op), vsock_op_name(packet.header.op));
	return packet;
}

static void put_packet(struct fixture *f, const struct vsock_header *header, const void *data, size_t length)
{
	uint8_t *bytes = driver_at(&f->driver, f->tx_address);

	vsock_header_pack(bytes, header);
	if (length)
		memcpy(bytes + VSOCK_HEADER_SIZE, data, length);
	driver_put(&f->driver, TX, length ? 2 : 1,
		   (struct driver_segment[]){ { f->tx_address, VSOCK_HEADER_SIZE, false },
					      { f->tx_address + VSOCK_HEADER_SIZE, (uint32_t)length, false } });
}

static void send_packet(struct fixture *f, const struct vsock_header *header, const void *data, size_t length)
{
	put_packet(f, header, data, length);
	driver_kick(&f->driver, TX);
	run_loop(f);
}

/* A packet on the connection of which `from` came. */
static struct vsock_header reply(struct fixture *f, const struct vsock_header *from, enum vsock_op op)
{
	return (struct vsock_header){ .src_cid = CID,
				      .dst_cid = VSOCK_CID_HOST,
				      .src_port = from->dst_port,
				      .dst_port = from->src_port,
				      .type = VSOCK_TYPE_STREAM,
				      .op = (uint16_t)op,
				      .buf_alloc = f->buf_alloc };
}

static void send_op(struct fixture *f, const struct vsock_header *from, enum vsock_op op)
{
	struct vsock_header header = reply(f, from, op);

	send_packet(f, &header, NULL, 0);
}

static void send_data(struct fixture *f, const struct vsock_header *from, const void *data, size_t length)
{
	struct vsock_header header = reply(f, from, VSOCK_OP_RW);

	header.len = (uint32_t)length;
	send_packet(f, &header, data, length);
}

/* An open connection of program `index`; the REQUEST's header names it. */
static struct vsock_header open_program(struct fixture *f, unsigned index)
{
	char ok[64];

	program(f, index, "CONNECT 1024\n");
	struct packet request = expect(f, VSOCK_OP_REQUEST);
	assert_int_equal(request.header.dst_port, PORT);
	assert_int_equal(request.header.type, VSOCK_TYPE_STREAM);
	assert_int_equal(request.header.buf_alloc, VSOCK_BUFFER);
	send_op(f, &request.header, VSOCK_OP_RESPONSE);
	snprintf(ok, sizeof ok, "OK %u\n", request.header.src_port);
	assert_string_equal(reads(f->programs[index]), ok);
	return request.header;
}

/* --- opening ----------------------------------------------------------------------------------------------------- */

static void test_vsock_config_space_holds_the_cid(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[8];

	assert_int_equal(f->device->ops->config_size, 8);
	f->device->ops->config_read(f->device, 0, bytes, 8);
	assert_memory_equal(bytes, ((uint8_t[]){ CID, 0, 0, 0, 0, 0, 0, 0 }), 8);
	f->device->ops->config_read(f->device, 4, bytes, 4);
	assert_memory_equal(bytes, ((uint8_t[]){ 0, 0, 0, 0 }), 4);
}

static void test_vsock_connect_before_ready_waits(void **state)
{
	struct fixture *f = *state;

	activate(f);
	program(f, 0, "CONNECT 1024\n");
	expect_none(f);
	assert_string_equal(reads(f->programs[0]), "");
	virtio_vsock_set_ready(f->device);
	expect(f, VSOCK_OP_REQUEST);
	/* And those that come later need not. */
	program(f, 1, "CONNECT 1024\n");
	expect(f, VSOCK_OP_REQUEST);
}

static void test_vsock_connect_before_the_driver_waits(void **state)
{
	struct fixture *f = *state;

	program(f, 0, "CONNECT 1024\n");
	virtio_vsock_set_ready(f->device);
	run_loop(f);
	assert_string_equal(reads(f->programs[0]), "");
	activate(f);
	expect(f, VSOCK_OP_REQUEST);
}

static void test_vsock_connect_refused_by_the_guest_closes(void **state)
{
	struct fixture *f = start(state);

	program(f, 0, "CONNECT 9\n");
	struct packet request = expect(f, VSOCK_OP_REQUEST);
	send_op(f, &request.header, VSOCK_OP_RST);
	assert_string_equal(reads(f->programs[0]), "EOF");
	assert_int_equal(virtio_vsock_connections(f->device), 0);
	expect_none(f);
}

static void test_vsock_program_gone_before_the_response_resets(void **state)
{
	struct fixture *f = start(state);

	program(f, 0, "CONNECT 9\n");
	struct packet request = expect(f, VSOCK_OP_REQUEST);
	close_fd(&f->programs[0]);
	struct packet rst = expect(f, VSOCK_OP_RST);
	assert_int_equal(rst.header.src_port, request.header.src_port);
	assert_int_equal(rst.header.dst_port, 9);
	/* The late response is to nobody. */
	send_op(f, &request.header, VSOCK_OP_RESPONSE);
	expect(f, VSOCK_OP_RST);
	assert_int_equal(virtio_vsock_connections(f->device), 0);
}

static void test_vsock_connect_from_the_guest_is_refused(void **state)
{
	struct fixture *f = start(state);
	struct vsock_header request = { .src_cid = CID,
					.dst_cid = VSOCK_CID_HOST,
					.src_port = 5555,
					.dst_port = 22,
					.type = VSOCK_TYPE_STREAM,
					.op = VSOCK_OP_REQUEST };

	send_packet(f, &request, NULL, 0);
	struct packet rst = expect(f, VSOCK_OP_RST);
	assert_int_equal(rst.header.src_port, 22);
	assert_int_equal(rst.header.dst_port, 5555);
}

static void test_vsock_host_ports_differ(void **state)
{
	struct fixture *f = start(state);
	uint32_t last = 0;

	for (unsigned i = 0; i < 10; i++) {
		struct vsock_header header = open_program(f, i % 2);

		assert_int_not_equal(header.src_port, last);
		last = header.src_port;
		send_op(f, &header, VSOCK_OP_RST);
		close_fd(&f->programs[i % 2]);
	}
}

/* --- packets that are not right ---------------------------------------------------------------------------------- */

/* As the guest of a checkpoint is told, before it runs. */
static void test_vsock_guest_is_told_that_its_connections_are_gone(void **state)
{
	struct fixture *f = *state;
	enum { EVENT = 2 };
	uint32_t head, written;
	struct err err = ERR_INIT;

	assert_int_equal(virtio_vsock_tell_reset(f->device, &err), -1);
	f = start(state);
	assert_int_equal(virtio_vsock_tell_reset(f->device, &err), -1);
	assert_non_null(strstr(err.text, "cannot be told"));
	uint64_t address = driver_alloc(&f->driver, 4);
	memset(driver_at(&f->driver, address), 0xff, 4);
	driver_put(&f->driver, EVENT, 1, (struct driver_segment[]){ { address, 4, true } });
	assert_int_equal(virtio_vsock_tell_reset(f->device, &err), 0);
	assert_true(driver_take(&f->driver, EVENT, &head, &written));
	assert_int_equal(written, 4);
	assert_memory_equal(driver_at(&f->driver, address), "\0\0\0\0", 4);
	/* Its sockets may be there still: those to come have other numbers. */
	virtio_vsock_set_serial(f->device, 7);
	program(f, 0, "CONNECT 1024\n");
	assert_int_equal(expect(f, VSOCK_OP_REQUEST).header.src_port, 0x40000000 + 7 * VSOCK_CONNECTIONS_MAX);
	assert_int_equal(virtio_vsock_serial(f->device), 8);
}

static void test_vsock_packet_with_wrong_addresses_is_dropped(void **state)
{
	struct fixture *f = start(state);
	struct vsock_header conn = open_program(f, 0), header;
	unsigned long refused = atomic_load(&f->device->refused);

	header = reply(f, &conn, VSOCK_OP_RST);
	header.src_cid = CID + 1;
	send_packet(f, &header, NULL, 0);
	header.src_cid = CID | 1ull << 32;
	send_packet(f, &header, NULL, 0);
	header = reply(f, &conn, VSOCK_OP_RST);
	header.dst_cid = 1;
	send_packet(f, &header, NULL, 0);
	expect_none(f);
	assert_int_equal(atomic_load(&f->device->refused), refused + 3);
	assert_string_equal(reads(f->programs[0]), "");
	assert_int_equal(virtio_vsock_connections(f->device), 1);
}

static void test_vsock_packet_of_unknown_type_is_answered_in_kind(void **state)
{
	struct fixture *f = start(state);
	struct vsock_header conn = open_program(f, 0);
	struct vsock_header header = reply(f, &conn, VSOCK_OP_REQUEST);

	header.type = 2;
	send_packet(f, &header, NULL, 0);
	assert_int_equal(expect(f, VSOCK_OP_RST).header.type, 2);
	header.op = VSOCK_OP_RST;
	send_packet(f, &header, NULL, 0);
	expect_none(f);
	assert_int_equal(virtio_vsock_connections(f->device), 1);
}

static void test_vsock_packet_of_wrong_length_resets_its_connection(void **state)
{
	struct fixture *f = start(state);
	static const struct {
		enum vsock_op op;
		uint32_t says, is;
	} cases[] = { { VSOCK_OP_RW, 5, 4 },
		      { VSOCK_OP_RW, 3, 4 },
		      { VSOCK_OP_RW, 0xffffffff, 4 },
		      { VSOCK_OP_RW, 1, 0 },
		      { VSOCK_OP_CREDIT_UPDATE, 4, 4 },
		      { VSOCK_OP_SHUTDOWN, 0, 4 } };

	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct vsock_header conn = open_program(f, 0);
		struct vsock_header header = reply(f, &conn, cases[i].op);

		header.len = cases[i].says;
		send_packet(f, &header, "data", cases[i].is);
		expect(f, VSOCK_OP_RST);
		assert_string_equal(reads(f->programs[0]), "EOF");
		close_fd(&f->programs[0]);
	}
	assert_int_equal(virtio_vsock_connections(f->device), 0);
}

static void test_vsock_packet_without_a_whole_header_is_dropped(void **state)
{
	struct fixture *f = start(state);

	driver_put(&f->driver, TX, 1, (struct driver_segment[]){ { f->tx_address, VSOCK_HEADER_SIZE - 1, false } });
	driver_put(&f->driver, TX, 1, (struct driver_segment[]){ { f->tx_address, 100, true } });
	driver_kick(&f->driver, TX);
	assert_true(driver_take(&f->driver, TX, NULL, NULL));
	assert_true(driver_take(&f->driver, TX, NULL, NULL));
	assert_int_equal(atomic_load(&f->device->refused), 2);
	expect_none(f);
}

static void test_vsock_receive_buffer_without_room_is_given_back(void **state)
{
	struct fixture *f = *state;
	uint32_t written;

	driver_activate(&f->driver, 0, QUEUE);
	virtio_vsock_set_ready(f->device);
	driver_put(&f->driver, RX, 1, (struct driver_segment[]){ { f->rx_address[0], VSOCK_HEADER_SIZE, true } });
	driver_put(&f->driver, RX, 1, (struct driver_segment[]){ { f->rx_address[1], VSOCK_HEADER_SIZE + 1, true } });
	program(f, 0, "CONNECT 1\n");
	assert_true(driver_take(&f->driver, RX, NULL, &written));
	assert_int_equal(written, 0);
	assert_true(driver_take(&f->driver, RX, NULL, &written));
	assert_int_equal(written, VSOCK_HEADER_SIZE);
}

static void test_vsock_header_in_pieces_is_understood(void **state)
{
	struct fixture *f = start(state);
	struct vsock_header conn = open_program(f, 0);
	struct vsock_header header = reply(f, &conn, VSOCK_OP_RW);
	uint8_t *bytes = driver_at(&f->driver, f->tx_address);
	uint64_t a = f->tx_address;

	header.len = 5;
	vsock_header_pack(bytes, &header);
	memcpy(bytes + VSOCK_HEADER_SIZE, "whole", 5);
	driver_put(&f->driver, TX, 4,
		   (struct driver_segment[]){
			   { a, 1, false }, { a + 1, 40, false }, { a + 41, 6, false }, { a + 47, 2, false } });
	driver_kick(&f->driver, TX);
	assert_string_equal(reads(f->programs[0]), "whole");
}

static void test_vsock_broken_queue_fails_the_device_and_ends_connections(void **state)
{
	struct fixture *f = start(state);

	open_program(f, 0);
	driver_offer(&f->driver, TX, 999);
	driver_kick(&f->driver, TX);
	run_loop(f);
	assert_int_equal(f->driver.failures, 1);
	assert_string_equal(reads(f->programs[0]), "EOF");
	/* It is asked for nothing more, and comes back after a reset. */
	program(f, 1, "CONNECT 1024\n");
	driver_reset(&f->driver);
	run_loop(f);
	activate(f);
	expect(f, VSOCK_OP_REQUEST);
	assert_int_equal(f->driver.failures, 1);
}

static void test_vsock_reset_ends_connections_and_keeps_waiting_ones(void **state)
{
	struct fixture *f = *state;

	activate(f);
	program(f, 1, "CONNECT 77\n");
	driver_reset(&f->driver);
	activate(f);
	virtio_vsock_set_ready(f->device);
	assert_int_equal(expect(f, VSOCK_OP_REQUEST).header.dst_port, 77);
	open_program(f, 0);
	driver_reset(&f->driver);
	/* A reset is followed by activation before the loop has seen it. */
	activate(f);
	run_loop(f);
	assert_string_equal(reads(f->programs[0]), "EOF");
	assert_string_equal(reads(f->programs[1]), "EOF");
	expect_none(f);
	assert_int_equal(virtio_vsock_connections(f->device), 0);
}

/* --- streams ----------------------------------------------------------------------------------------------------- */

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 31 + (i >> 8) * 7);
}

/* 1 MiB to a guest with a buffer of `buffer` bytes. */
static void stream_to_guest(struct fixture *f, uint32_t buffer)
{
	enum { TOTAL = 1 << 20 };
	uint8_t *in = malloc(TOTAL);
	size_t written = 0, got = 0;

	f->buf_alloc = buffer;
	struct vsock_header conn = open_program(f, 0);
	for (size_t i = 0; i < TOTAL; i++)
		in[i] = pattern(i);
	while (got < TOTAL) {
		struct packet packet;

		if (written < TOTAL) {
			ssize_t n = write(f->programs[0], in + written, TOTAL - written);

			if (n > 0)
				written += (size_t)n;
			if (written == TOTAL)
				shutdown(f->programs[0], SHUT_WR);
		}
		if (!receive(f, &packet))
			continue;
		if (packet.header.op == VSOCK_OP_CREDIT_REQUEST)
			continue; /* the update below says it */
		assert_int_equal(packet.header.op, VSOCK_OP_RW);
		assert_in_range(packet.header.len, 1, buffer);
		assert_memory_equal(packet.data, in + got, packet.header.len);
		got += packet.header.len;
		struct vsock_header update = reply(f, &conn, VSOCK_OP_CREDIT_UPDATE);
		update.fwd_cnt = (uint32_t)got;
		put_packet(f, &update, NULL, 0);
		driver_kick(&f->driver, TX);
	}
	struct packet end = expect(f, VSOCK_OP_SHUTDOWN);
	assert_int_equal(end.header.flags, VSOCK_SHUTDOWN_SEND);
	free(in);
	close_fd(&f->programs[0]);
}

static void test_vsock_mebibyte_to_a_guest_with_little_credit_arrives(void **state)
{
	stream_to_guest(start(state), 100);
}

static void test_vsock_mebibyte_to_a_guest_with_much_credit_arrives(void **state)
{
	stream_to_guest(start(state), 1 << 20);
}

static void test_vsock_mebibyte_to_a_slow_host_arrives(void **state)
{
	struct fixture *f = start(state);
	enum { TOTAL = 1 << 20, PIECE = 60000 };
	struct vsock_header conn = open_program(f, 0);
	uint32_t sent = 0, forwarded = 0;
	size_t got = 0;
	static uint8_t block[PIECE], answer[3000];
	struct packet packet;

	while (got < TOTAL) {
		uint32_t credit = VSOCK_BUFFER - (sent - forwarded);
		uint32_t length = TOTAL - sent < PIECE ? TOTAL - sent : PIECE;

		length = length < credit ? length : credit;
		if (length) {
			for (uint32_t i = 0; i < length; i++)
				block[i] = pattern(sent + i);
			send_data(f, &conn, block, length);
			sent += length;
		}
		ssize_t n = read(f->programs[0], answer, sizeof answer);
		for (ssize_t i = 0; i < n; i++)
			if (answer[i] != pattern(got + (size_t)i))
				fail_msg("byte %zu differs", got + (size_t)i);
		got += n > 0 ? (size_t)n : 0;
		while (receive(f, &packet)) {
			assert_int_equal(packet.header.op, VSOCK_OP_CREDIT_UPDATE);
			forwarded = packet.header.fwd_cnt;
		}
	}
	/* Only now the end: nothing is lost to it. */
	struct vsock_header shutdown_packet = reply(f, &conn, VSOCK_OP_SHUTDOWN);
	shutdown_packet.flags = VSOCK_SHUTDOWN_BOTH;
	send_packet(f, &shutdown_packet, NULL, 0);
	expect(f, VSOCK_OP_RST);
	assert_string_equal(reads(f->programs[0]), "EOF");
	assert_int_equal(virtio_vsock_connections(f->device), 0);
}

static void test_vsock_stopped_host_reader_stops_only_its_connection(void **state)
{
	struct fixture *f = start(state);
	struct vsock_header stuck = open_program(f, 0), lively = open_program(f, 1);
	static uint8_t block[VSOCK_BUFFER];
	size_t total = 0;

	memset(block, 'x', sizeof block);
	/* Fill what the socket takes, and then the credit. */
	for (uint32_t forwarded = 0;;) {
		struct packet packet;

		send_data(f, &stuck, block, sizeof block / 4);
		total += sizeof block / 4;
		while (receive(f, &packet))
			forwarded = packet.header.fwd_cnt;
		if (total - forwarded > sizeof block * 3 / 4)
			break;
	}
	send_data(f, &lively, "ping", 4);
	assert_string_equal(reads(f->programs[1]), "ping");
	assert_int_equal(write(f->programs[1], "pong", 4), 4);
	assert_int_equal(expect(f, VSOCK_OP_RW).header.src_port, lively.src_port);
	/* It goes on when its reader does. */
	while (*reads(f->programs[0]))
		run_loop(f);
	assert_int_equal(expect(f, VSOCK_OP_CREDIT_UPDATE).header.src_port, stuck.src_port);
}

static void test_vsock_stopped_guest_reader_stops_only_its_connection(void **state)
{
	struct fixture *f = start(state);

	f->buf_alloc = 1000;
	struct vsock_header stuck = open_program(f, 0), lively = open_program(f, 1);
	static char block[100000];

	assert_true(write(f->programs[0], block, sizeof block) > 5000);
	assert_int_equal(expect(f, VSOCK_OP_RW).header.len, 1000);
	assert_int_equal(expect(f, VSOCK_OP_CREDIT_REQUEST).header.src_port, stuck.src_port);
	expect_none(f);
	assert_int_equal(write(f->programs[1], "ping", 4), 4);
	assert_int_equal(expect(f, VSOCK_OP_RW).header.src_port, lively.src_port);
	/* The program leaves, and the rest still gets there. */
	close_fd(&f->programs[0]);
	expect(f, VSOCK_OP_SHUTDOWN);
	struct vsock_header update = reply(f, &stuck, VSOCK_OP_CREDIT_UPDATE);
	update.fwd_cnt = 1000;
	send_packet(f, &update, NULL, 0);
	assert_int_equal(expect(f, VSOCK_OP_RW).header.len, 1000);
}

static void test_vsock_connections_take_turns(void **state)
{
	struct fixture *f = start(state);
	static char block[100000];
	uint32_t ports[3], count[3] = { 0 };

	f->buf_alloc = 1 << 20;
	for (unsigned i = 0; i < 3; i++)
		ports[i] = open_program(f, i).src_port;
	for (unsigned i = 0; i < 3; i++)
		assert_true(write(f->programs[i], block, sizeof block) > 80000);
	for (unsigned i = 0; i < 60; i++) {
		struct packet packet = expect(f, VSOCK_OP_RW);

		for (unsigned j = 0; j < 3; j++)
			count[j] += packet.header.src_port == ports[j];
	}
	for (unsigned j = 0; j < 3; j++)
		assert_in_range(count[j], 10, 30);
}

/* --- bounds ------------------------------------------------------------------------------------------------------ */

static void test_vsock_connection_beyond_the_bound_waits(void **state)
{
	struct fixture *f = start(state);
	struct vsock_header first = open_program(f, 0);

	for (unsigned i = 1; i < VSOCK_CONNECTIONS_MAX; i++)
		open_program(f, i);
	assert_int_equal(virtio_vsock_connections(f->device), VSOCK_CONNECTIONS_MAX);
	program(f, VSOCK_CONNECTIONS_MAX, "CONNECT 1024\n");
	expect_none(f);
	assert_string_equal(reads(f->programs[VSOCK_CONNECTIONS_MAX]), "");
	send_op(f, &first, VSOCK_OP_RST);
	expect(f, VSOCK_OP_REQUEST);
	assert_int_equal(virtio_vsock_connections(f->device), VSOCK_CONNECTIONS_MAX);
}

static void test_vsock_connection_left_to_the_guest_gives_way(void **state)
{
	struct fixture *f = start(state);
	struct vsock_header closing = { 0 };

	for (unsigned i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		struct vsock_header header = open_program(f, i);

		if (i == 5)
			closing = header;
	}
	close_fd(&f->programs[5]);
	for (unsigned told = 0; told != VSOCK_SHUTDOWN_BOTH;)
		told = expect(f, VSOCK_OP_SHUTDOWN).header.flags;
	assert_int_equal(virtio_vsock_connections(f->device), VSOCK_CONNECTIONS_MAX);
	program(f, 5, "CONNECT 1024\n");
	struct packet rst = expect(f, VSOCK_OP_RST);
	assert_int_equal(rst.header.src_port, closing.src_port);
	expect(f, VSOCK_OP_REQUEST);
}

static void test_vsock_flood_without_buffers_is_bounded_and_resumes(void **state)
{
	struct fixture *f = *state;
	struct vsock_header packet = { .src_cid = CID,
				       .dst_cid = VSOCK_CID_HOST,
				       .dst_port = 22,
				       .type = VSOCK_TYPE_STREAM,
				       .op = VSOCK_OP_REQUEST };
	unsigned sent = 0, taken = 0, answered = 0;
	struct packet rst;

	driver_activate(&f->driver, 0, QUEUE); /* no receive buffers */
	virtio_vsock_set_ready(f->device);
	for (; sent < 1000 && sent - taken < QUEUE; sent++) {
		packet.src_port = sent;
		send_packet(f, &packet, NULL, 0);
		while (driver_take(&f->driver, TX, NULL, NULL))
			taken++;
	}
	assert_int_equal(taken, VSOCK_CONNECTIONS_MAX); /* as many as are remembered; the rest was not taken */
	offer_rx(f, QUEUE - 1);
	driver_kick(&f->driver, RX);
	while (receive(f, &rst)) {
		assert_int_equal(rst.header.op, VSOCK_OP_RST);
		answered++;
	}
	assert_int_equal(answered, sent);
}

static void test_vsock_long_queue_does_not_hold_up_the_loop(void **state)
{
	struct fixture *f = start(state);
	struct vsock_header conn = open_program(f, 0);
	struct vsock_header header = reply(f, &conn, VSOCK_OP_CREDIT_UPDATE);
	unsigned taken = 0;

	while (driver_take(&f->driver, TX, NULL, NULL))
		;
	for (unsigned i = 0; i < QUEUE - 1; i++)
		put_packet(f, &header, NULL, 0);
	driver_kick(&f->driver, TX);
	while (driver_take(&f->driver, TX, NULL, NULL))
		taken++;
	assert_in_range(taken, 1, QUEUE - 2);
	run_loop(f);
	while (driver_take(&f->driver, TX, NULL, NULL))
		taken++;
	assert_int_equal(taken, QUEUE - 1);
}

static void test_vsock_create_without_a_socket_fails_by_name(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;

	assert_null(virtio_vsock_create(f->loop, CID, -1, &err));
	assert_non_null(strstr(err.text, "vsock"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_vsock_config_space_holds_the_cid),
		TEST(test_vsock_connect_before_ready_waits),
		TEST(test_vsock_connect_before_the_driver_waits),
		TEST(test_vsock_connect_refused_by_the_guest_closes),
		TEST(test_vsock_program_gone_before_the_response_resets),
		TEST(test_vsock_connect_from_the_guest_is_refused),
		TEST(test_vsock_host_ports_differ),
		TEST(test_vsock_guest_is_told_that_its_connections_are_gone),
		TEST(test_vsock_packet_with_wrong_addresses_is_dropped),
		TEST(test_vsock_packet_of_unknown_type_is_answered_in_kind),
		TEST(test_vsock_packet_of_wrong_length_resets_its_connection),
		TEST(test_vsock_packet_without_a_whole_header_is_dropped),
		TEST(test_vsock_receive_buffer_without_room_is_given_back),
		TEST(test_vsock_header_in_pieces_is_understood),
		TEST(test_vsock_broken_queue_fails_the_device_and_ends_connections),
		TEST(test_vsock_reset_ends_connections_and_keeps_waiting_ones),
		TEST(test_vsock_mebibyte_to_a_guest_with_little_credit_arrives),
		TEST(test_vsock_mebibyte_to_a_guest_with_much_credit_arrives),
		TEST(test_vsock_mebibyte_to_a_slow_host_arrives),
		TEST(test_vsock_stopped_host_reader_stops_only_its_connection),
		TEST(test_vsock_stopped_guest_reader_stops_only_its_connection),
		TEST(test_vsock_connections_take_turns),
		TEST(test_vsock_connection_beyond_the_bound_waits),
		TEST(test_vsock_connection_left_to_the_guest_gives_way),
		TEST(test_vsock_flood_without_buffers_is_bounded_and_resumes),
		TEST(test_vsock_long_queue_does_not_hold_up_the_loop),
		TEST(test_vsock_create_without_a_socket_fails_by_name),
	};

	return cmocka_run_group_tests_name("virtio_vsock", tests, NULL, NULL);
}
