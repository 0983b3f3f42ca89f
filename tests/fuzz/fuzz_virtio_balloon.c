/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver that reports any memory as free, its own rings included. What is dropped is the guest's and whole pages: two
 * pages of the monitor's, right before and behind the guest's memory, stay as they are.
 *
 * Input: 12 bytes for each segment: address, length and what is done with it.
 *
 * Covers: vmm/virtio_balloon.c
 */
#include "tests/unit/virtq_driver.h"
#include "vmm/virtio_balloon.h"

#include <assert.h>
#include <sys/mman.h>

enum { GUARD = 4096, STEP = 12, SEGMENTS_MAX = 8, QUEUES = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *guard(uint8_t *at)
{
	void *map = mmap(at, GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (map != at)
		return NULL; /* something else is there: so be it */
	memset(at, 0x5a, GUARD);
	return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct driver d;
	static uint8_t *before, *behind;
	struct driver_segment segments[SEGMENTS_MAX];
	struct err err = ERR_INIT;
	unsigned count = 0;

	driver_start(&d, virtio_balloon_create(&err), 1u << 5);
	before = guard(d.memory.ranges[0].host - GUARD);
	behind = guard(d.memory.ranges[0].host + DRIVER_MEMORY);
	for (; size >= STEP; data += STEP, size -= STEP) {
		uint64_t address = 0;
		uint32_t length;

		memcpy(&address, data, 5);
		memcpy(&length, data + 5, sizeof length);
		/* Mostly inside memory, or nothing would ever be dropped. */
		segments[count++] = (struct driver_segment){
			data[9] & 1 ? address : address % (DRIVER_MEMORY + 2 * GUARD),
			data[9] & 2 ? length : length % (64 << 10),
			data[9] & 4,
		};
		if (count < SEGMENTS_MAX && !(data[9] & 8))
			continue;
		driver_put(&d, data[10] % QUEUES, count, segments);
		driver_kick(&d, data[10] % QUEUES);
		driver_take(&d, data[10] % QUEUES, NULL, NULL);
		count = 0;
	}
	for (unsigned i = 0; i < GUARD; i++)
		assert((!before || before[i] == 0x5a) && (!behind || behind[i] == 0x5a));
	driver_stop(&d);
	if (before)
		munmap(before, GUARD);
	if (behind)
		munmap(behind, GUARD);
	return 0;
}
