/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile guest and restless host programs around the socket device. The input is a list of acts, each a byte that
 * names it and the bytes it takes (missing ones are zero). Packets are mostly of connections that exist, with one
 * thing wrong at a time; some are raw bytes. Beside what the sanitizers see: a packet to the guest is whole, the
 * guest's credit is respected where it was honest, and the number of connections is bounded.
 *
 * Covers: vmm/virtio_vsock.c vmm/vsock_conn.c vmm/vsock_packet.c
 */
#include "tests/unit/virtq_driver.h"

#include "common/auto.h"
#include "common/log.h"
#include "common/loop.h"
#include "vmm/virtio_vsock.h"
#include "vmm/vsock_packet.h"

#include <assert.h>
#include <sys/socket.h>
#include <sys/un.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RX, TX };
enum { CID = 3, PROGRAMS = 8, KNOWN = 8, QUEUE = 16, BUFFER_MAX = 8192, ACTS_MAX = 400 };

enum act {
	ACT_CONNECT,
	ACT_GREET_RAW,
	ACT_WRITE,
	ACT_READ,
	ACT_HALF_CLOSE,
	ACT_CLOSE,
	ACT_PACKET,
	ACT_PACKET_RAW,
	ACT_BUFFERS,
	ACT_RUN,
	ACT_RESET,
	ACT_READY,
	ACT_RING,
	ACT_COUNT
};

/* What the guest knows of a connection: it saw its REQUEST. */
struct known {
	uint32_t host_port, guest_port;
	uint32_t received; /* from the host */
	uint32_t limit;    /* received may not pass this while the guest was honest */
	bool honest;
};

static struct {
	const uint8_t *data;
	size_t size;
	struct driver driver;
	struct virtio_device *device;
	struct loop *loop;
	struct sockaddr_un address;
	socklen_t address_length;
	int programs[PROGRAMS];
	struct known known[KNOWN];
	unsigned known_count;
	unsigned rx_offered; /* and not taken back */
	bool scribbled;      /* the rings may say anything of what the device did */
	uint64_t rx_address[QUEUE];
	uint64_t tx_address;
} f;

static uint8_t byte(void)
{
	if (!f.size)
		return 0;
	f.size--;
	return *f.data++;
}

static uint32_t word(void)
{
	uint32_t value = byte();

	return value | (uint32_t)byte() << 8;
}

static struct known *known_at(uint32_t host_port)
{
	for (unsigned i = 0; i < KNOWN; i++)
		if (f.known[i].host_port == host_port && host_port)
			return &f.known[i];
	return NULL;
}

static void see_packet(const uint8_t *bytes, uint32_t written)
{
	struct vsock_header header;

	assert(written >= VSOCK_HEADER_SIZE);
	vsock_header_unpack(bytes, &header);
	assert(header.src_cid == VSOCK_CID_HOST && header.dst_cid == CID);
	assert(header.len == written - VSOCK_HEADER_SIZE);
	assert(header.op == VSOCK_OP_RW || header.len == 0);
	assert(header.op == VSOCK_OP_RW ? header.len > 0 : true);
	struct known *known = known_at(header.src_port);
	switch (header.op) {
	case VSOCK_OP_REQUEST:
		known = &f.known[f.known_count++ % KNOWN];
		*known = (struct known){ .host_port = header.src_port, .guest_port = header.dst_port, .honest = true };
		break;
	case VSOCK_OP_RW:
		if (!known)
			break;
		known->received += header.len;
		if (known->honest)
			assert((int32_t)(known->limit - known->received) >= 0);
		break;
	case VSOCK_OP_RST:
	case VSOCK_OP_SHUTDOWN:
	case VSOCK_OP_CREDIT_UPDATE:
	case VSOCK_OP_CREDIT_REQUEST:
		break;
	default:
		assert(!"a packet that this device never sends");
	}
}

static void guest_takes(void)
{
	uint32_t head, written;

	while (driver_take(&f.driver, RX, &head, &written)) {
		assert(head < QUEUE || f.scribbled);
		f.rx_offered--;
		if (written && !f.scribbled)
			see_packet(driver_at(&f.driver, f.rx_address[head]), written);
	}
	while (driver_take(&f.driver, TX, &head, &written))
		assert(written == 0 || f.scribbled);
}

static void run_loop(unsigned rounds)
{
	while (rounds--)
		loop_step(f.loop, 0);
	guest_takes();
	assert(virtio_vsock_connections(f.device) <= VSOCK_CONNECTIONS_MAX);
}

static void program_connects(bool raw)
{
	int *fd = &f.programs[byte() % PROGRAMS];
	char line[40];
	int length = 0;

	if (*fd < 0) {
		*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (connect(*fd, (struct sockaddr *)&f.address, f.address_length) < 0) {
			close_fd(fd);
			return;
		}
	}
	if (raw) {
		for (unsigned n = byte() % sizeof line; n; n--)
			line[length++] = (char)byte();
	} else {
		length = snprintf(line, sizeof line, "CONNECT %u\n", byte());
	}
	(void)!send(*fd, line, (size_t)length, MSG_NOSIGNAL);
}

static void program_writes(void)
{
	static const char block[65536];
	int fd = f.programs[byte() % PROGRAMS];

	if (fd >= 0)
		(void)!send(fd, block, word(), MSG_NOSIGNAL);
}

static void program_reads(void)
{
	static char block[65536];
	int fd = f.programs[byte() % PROGRAMS];

	if (fd >= 0)
		(void)!read(fd, block, word());
}

static void put(const uint8_t *bytes, size_t length, uint8_t split)
{
	struct driver_segment segments[2] = { { f.tx_address, (uint32_t)length, false } };
	unsigned count = 1;

	memcpy(driver_at(&f.driver, f.tx_address), bytes, length < VSOCK_HEADER_SIZE ? length : VSOCK_HEADER_SIZE);
	if (split && split < length) {
		segments[0].length = split;
		segments[1] = (struct driver_segment){ f.tx_address + split, (uint32_t)(length - split), false };
		count = 2;
	}
	driver_put(&f.driver, TX, count, segments);
	driver_kick(&f.driver, TX);
}

static void guest_sends(void)
{
	struct known *known = &f.known[byte() % KNOWN];
	uint8_t op = byte(), wrong = byte();
	uint32_t amount = word();
	uint8_t bytes[VSOCK_HEADER_SIZE];
	struct vsock_header header = {
		.src_cid = CID,
		.dst_cid = VSOCK_CID_HOST,
		.src_port = known->guest_port,
		.dst_port = known->host_port,
		.type = VSOCK_TYPE_STREAM,
		.op = op % (VSOCK_OP_COUNT + 1),
		.flags = op >> 4,
		.buf_alloc = 1 + amount,
		.fwd_cnt = known->received,
	};
	size_t length = VSOCK_HEADER_SIZE;

	if (header.op == VSOCK_OP_RW) {
		header.len = amount;
		length += amount;
	}
	switch (wrong) {
	case 1:
		header.src_cid++;
		break;
	case 2:
		header.dst_cid = byte();
		break;
	case 3:
		header.type = byte();
		break;
	case 4:
		header.len += byte();
		break;
	case 5:
		header.fwd_cnt += word() - 0x8000;
		break;
	case 6:
		header.buf_alloc = word() << 16;
		break;
	case 7:
		header.src_port++;
		break;
	case 8:
		header.dst_port += byte();
		break;
	default:
		break;
	}
	if (header.fwd_cnt != known->received || header.buf_alloc != 1 + amount)
		known->honest = false;
	/* Packets may be on the way while the guest makes its buffer smaller: what was promised before counts. */
	if ((int32_t)(header.fwd_cnt + header.buf_alloc - known->limit) > 0)
		known->limit = header.fwd_cnt + header.buf_alloc;
	/* A packet that is refused changes no credit; whether it was is not modelled. */
	if ((wrong && wrong <= 8) || header.op == VSOCK_OP_RST)
		known->honest = false;
	vsock_header_pack(bytes, &header);
	put(bytes, length, byte());
}

static void guest_sends_raw(void)
{
	uint8_t bytes[VSOCK_HEADER_SIZE];

	for (unsigned i = 0; i < sizeof bytes; i++)
		bytes[i] = byte();
	put(bytes, 1 + byte(), 0);
}

static void guest_offers(void)
{
	unsigned count = byte() % QUEUE;
	uint32_t length = 1 + word() % BUFFER_MAX;

	guest_takes();
	for (unsigned i = 0; i < count && f.rx_offered < QUEUE; i++, f.rx_offered++)
		driver_put(&f.driver, RX, 1,
			   (struct driver_segment[]){ { f.rx_address[f.driver.queues[RX].next_free], length, true } });
	driver_kick(&f.driver, RX);
}

static void guest_resets(void)
{
	driver_reset(&f.driver);
	f.rx_offered = 0;
	if (byte() & 1)
		run_loop(2);
	driver_activate(&f.driver, byte() & 1 ? DRIVER_EVENT_IDX : 0, QUEUE);
	for (unsigned i = 0; i < KNOWN; i++)
		f.known[i].honest = false;
}

/* Anything in the available ring. */
static void guest_scribbles(void)
{
	unsigned queue = byte() % 3;
	uint16_t head = (uint16_t)word();

	f.scribbled = true;
	driver_set_descriptor(&f.driver, queue, head % QUEUE,
			      (struct driver_descriptor){ word(), word(), byte(), byte() });
	driver_offer(&f.driver, queue, head);
	driver_kick(&f.driver, queue);
	run_loop(2);
	guest_resets();
	f.scribbled = false;
}

static void start(void)
{
	struct err err = ERR_INIT;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	log_setup("fuzz", -1, LOG_TEXT, LOG_ERROR);
	memset(f.known, 0, sizeof f.known);
	f.known_count = f.rx_offered = 0;
	f.address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	f.address_length = sizeof f.address;
	if (bind(fd, (struct sockaddr *)&f.address, sizeof f.address.sun_family) || listen(fd, 16) ||
	    getsockname(fd, (struct sockaddr *)&f.address, &f.address_length))
		abort();
	f.loop = loop_create(&err);
	f.device = virtio_vsock_create(f.loop, CID, fd, &err);
	assert(f.device);
	driver_init(&f.driver, f.device);
	for (unsigned i = 0; i < QUEUE; i++)
		f.rx_address[i] = driver_alloc(&f.driver, BUFFER_MAX);
	f.tx_address = driver_alloc(&f.driver, 65536 + VSOCK_HEADER_SIZE);
	for (unsigned i = 0; i < PROGRAMS; i++)
		f.programs[i] = -1;
	driver_activate(&f.driver, 0, QUEUE);
}

static void stop(void)
{
	for (unsigned i = 0; i < PROGRAMS; i++)
		close_fd(&f.programs[i]);
	run_loop(3);
	driver_stop(&f.driver);
	loop_destroy(f.loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	f.data = data;
	f.size = size;
	start();
	for (unsigned i = 0; i < ACTS_MAX && f.size; i++) {
		switch ((enum act)(byte() % ACT_COUNT)) {
		case ACT_CONNECT:
			program_connects(false);
			break;
		case ACT_GREET_RAW:
			program_connects(true);
			break;
		case ACT_WRITE:
			program_writes();
			break;
		case ACT_READ:
			program_reads();
			break;
		case ACT_HALF_CLOSE:
			shutdown(f.programs[byte() % PROGRAMS], byte() % 3);
			break;
		case ACT_CLOSE:
			close_fd(&f.programs[byte() % PROGRAMS]);
			break;
		case ACT_PACKET:
			guest_sends();
			break;
		case ACT_PACKET_RAW:
			guest_sends_raw();
			break;
		case ACT_BUFFERS:
			guest_offers();
			break;
		case ACT_RUN:
			run_loop(1 + byte() % 4);
			break;
		case ACT_RESET:
			guest_resets();
			break;
		case ACT_READY:
			virtio_vsock_set_ready(f.device);
			break;
		case ACT_RING:
			guest_scribbles();
			break;
		case ACT_COUNT:
			break;
		}
	}
	stop();
	return 0;
}
