/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Register traffic of a hostile driver against the transport and the entropy device, and writes to guest memory in
 * between. Input: a list of operations of 8 bytes: kind and width, a spare byte, offset (2), value (4).
 *
 * Covers: vmm/virtio_mmio.c vmm/virtio_rng.c
 */
#include "common/err.h"
#include "common/log.h"
#include "vmm/guest_memory.h"
#include "vmm/virtio_device.h"
#include "vmm/virtio_mmio.h"
#include "vmm/virtio_rng.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { READ, WRITE, POKE, KICK, SET_UP, KIND_COUNT };

static void set(struct virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
	virtio_mmio_write(mmio, offset, &value, sizeof value);
}

/* The way to an active device is long for a fuzzer to find: one operation goes it. */
static void set_up(struct virtio_mmio *mmio, uint32_t value)
{
	static const uint8_t status[] = { 0, 1, 3 };

	for (unsigned i = 0; i < sizeof status; i++)
		set(mmio, 0x70, status[i]);
	set(mmio, 0x24, 1);
	set(mmio, 0x20, 1);
	set(mmio, 0x24, 0);
	set(mmio, 0x20, value & 1u << 29);
	set(mmio, 0x70, 11);
	set(mmio, 0x30, 0);
	set(mmio, 0x38, 8);
	set(mmio, 0x80, 0x0000);
	set(mmio, 0x90, 0x0080);
	set(mmio, 0xa0, 0x0100);
	set(mmio, 0x44, 1);
	if (value & 1)
		set(mmio, 0x70, 15);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct guest_memory memory;
	struct virtio_mmio mmio;
	struct err err = ERR_INIT;
	struct virtio_device *device = virtio_rng_create(&err);

	log_setup("fuzz", -1, LOG_TEXT, LOG_ERROR);
	if (!memory.count && guest_memory_create(&memory, 2 << 20, &err))
		abort();
	memset(memory.ranges[0].host, 0, 0x1000);
	virtio_mmio_init(&mmio, device, &memory, -1);
	device->kick_fds[0] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	for (; size >= 8; data += 8, size -= 8) {
		unsigned length = 1u << (data[0] >> 6);
		uint32_t offset = (data[2] | (uint32_t)data[3] << 8) % (VIRTIO_MMIO_SIZE - 7), value;
		uint8_t wide[8] = { 0 };

		memcpy(&value, data + 4, sizeof value);
		memcpy(wide, &value, sizeof value);
		switch ((data[0] & 63) % KIND_COUNT) {
		case READ:
			virtio_mmio_read(&mmio, offset, wide, length);
			break;
		case WRITE:
			virtio_mmio_write(&mmio, offset, wide, length);
			break;
		case POKE:
			memcpy(memory.ranges[0].host + offset, &value, sizeof value);
			break;
		case KICK:
			virtio_mmio_kicked(&mmio, 0);
			break;
		case SET_UP:
			set_up(&mmio, value);
			break;
		}
		assert(mmio.state < VIRTIO_STATE_COUNT);
		assert(device->active == (mmio.state == VIRTIO_STATE_ACTIVE) || mmio.state == VIRTIO_STATE_FAILED);
		assert(!device->queues[0].ready || device->queues[0].size <= device->queues[0].size_max);
	}
	virtio_mmio_destroy(&mmio);
	return 0;
}
