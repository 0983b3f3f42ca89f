/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile guest and a busy wire around the network device. The input is a list of acts, each a byte that names it and
 * the bytes it takes (missing ones are zero). Beside what the sanitizers see: whatever reaches the wire has a header
 * that fits its packet.
 *
 * Covers: vmm/virtio_net.c vmm/net_header.c
 */
#include "tests/unit/virtq_driver.h"

#include "common/log.h"
#include "common/loop.h"
#include "vmm/net_header.h"
#include "vmm/virtio_net.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RX, TX };
enum act { ACT_SEND, ACT_ARRIVE, ACT_BUFFERS, ACT_RUN, ACT_RESET, ACT_DESCRIPTOR, ACT_INDEX, ACT_KICK, ACT_COUNT };
enum { ACTS_MAX = 300, HEADER = sizeof(struct net_header), CONTENT = 4096 };

static struct {
	const uint8_t *data;
	size_t size;
	struct driver driver;
	struct loop *loop;
	int wire;
} f;

static uint8_t byte(void)
{
	if (!f.size)
		return 0;
	f.size--;
	return *f.data++;
}

static uint16_t word(void)
{
	uint16_t low = byte();

	return (uint16_t)(low | byte() << 8);
}

static void check_wire(void)
{
	static uint8_t packet[HEADER + NET_PACKET_MAX + 1];
	struct net_header header;
	ssize_t n;

	while ((n = recv(f.wire, packet, sizeof packet, 0)) > 0) {
		assert(n >= HEADER + NET_PACKET_MIN && n < (ssize_t)sizeof packet);
		memcpy(&header, packet, sizeof header);
		assert(!net_header_fault(&header, (size_t)n - HEADER, f.driver.device->driver_features));
	}
}

static void send_packet(void)
{
	struct net_header header = {
		.flags = byte() % 4,
		.gso_type = byte(),
		.hdr_len = word(),
		.gso_size = word(),
		.csum_start = word() % 128,
		.csum_offset = word() % 128,
	};
	uint32_t length = word() % CONTENT, first = byte() % 32;
	uint64_t address = driver_alloc(&f.driver, HEADER + CONTENT);

	memcpy(driver_at(&f.driver, address), &header, sizeof header);
	driver_put(&f.driver, TX, 2,
		   (struct driver_segment[]){ { address, first, false }, { address + first, length, byte() == 1 } });
	driver_kick(&f.driver, TX);
	check_wire();
}

static void arrive(void)
{
	static uint8_t packet[HEADER + 70000];

	send(f.wire, packet, HEADER + word(), 0);
}

static void offer_buffers(void)
{
	unsigned count = byte() % 64, length = 1 + word() % 8192, pieces = 1 + byte() % 3;

	while (count--) {
		struct driver_segment segments[3];

		for (unsigned i = 0; i < pieces; i++)
			segments[i] = (struct driver_segment){ driver_alloc(&f.driver, length), length, true };
		driver_put(&f.driver, RX, pieces, segments);
	}
	driver_kick(&f.driver, RX);
}

static void scribble(void)
{
	unsigned index = byte() % 2;

	driver_set_descriptor(&f.driver, index, word() % 256,
			      (struct driver_descriptor){ (uint64_t)word() << 8, word(), word(), word() });
}

static void run(void)
{
	loop_step(f.loop, 0);
	loop_step(f.loop, 0);
}

static void act(enum act what)
{
	unsigned index;

	switch (what) {
	case ACT_SEND:
		send_packet();
		break;
	case ACT_ARRIVE:
		arrive();
		break;
	case ACT_BUFFERS:
		offer_buffers();
		break;
	case ACT_RUN:
		run();
		break;
	case ACT_RESET:
		check_wire(); /* what is on it was sent under the old features */
		driver_reset(&f.driver);
		driver_activate(&f.driver, (uint64_t)word() | (uint64_t)byte() << 24, 256);
		break;
	case ACT_DESCRIPTOR:
		scribble();
		break;
	case ACT_INDEX:
		index = byte() % 2;
		driver_set_avail_index(&f.driver, index, word());
		driver_kick(&f.driver, index);
		break;
	case ACT_KICK:
		driver_kick(&f.driver, byte() % 2);
		check_wire();
		break;
	case ACT_COUNT:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	struct err err = ERR_INIT;
	int pair[2];

	log_setup("fuzz", -1, LOG_TEXT, LOG_ERROR);
	f.data = data;
	f.size = size;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		abort();
	f.loop = loop_create(&err);
	struct virtio_device *device = virtio_net_create(f.loop, mac, pair[0], -1, &err);
	if (!device)
		abort();
	f.wire = pair[1];
	driver_start(&f.driver, device, (uint64_t)word() | (uint64_t)byte() << 24);
	for (unsigned i = 0; i < ACTS_MAX && f.size; i++)
		act(byte() % ACT_COUNT);
	run();
	check_wire();
	driver_stop(&f.driver);
	loop_destroy(f.loop);
	close(f.wire);
	return 0;
}
