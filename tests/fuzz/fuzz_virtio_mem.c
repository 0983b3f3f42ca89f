/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver that plugs and unplugs what it likes, while the host asks for more and less. What is plugged never exceeds
 * the most that was requested, nor what is usable, and the page right behind the region stays as it is.
 *
 * Input: 16 bytes for each request.
 */
#include "tests/unit/virtq_driver.h"
#include "vmm/virtio_mem.h"

#include <assert.h>
#include <sys/mman.h>

#define START 0x140000000ull
enum { BLOCKS = 24, USABLE_MAX = 16, STEP = 16, GUARD = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct driver d;
	const size_t length = BLOCKS * VIRTIO_MEM_BLOCK;
	uint8_t *host =
		mmap(NULL, length + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct err err = ERR_INIT;
	uint64_t most = 0;

	if (host == MAP_FAILED)
		abort();
	memset(host + length, 0x5a, GUARD);
	driver_start(&d, virtio_mem_create(START, length, host, &err), 0);
	for (; size >= STEP; data += STEP, size -= STEP) {
		struct {
			uint16_t type, padding[3];
			uint64_t address;
			uint16_t blocks, padding2[3];
		} request = { .type = data[0] % 6, .blocks = data[3] & 1 ? data[4] : data[4] % 8 };
		uint64_t in = driver_alloc(&d, sizeof request), out = driver_alloc(&d, 16);

		memcpy(&request.address, data + 5, sizeof request.address);
		if (!(data[3] & 2))
			request.address = START + (request.address % (BLOCKS + 2)) * VIRTIO_MEM_BLOCK;
		if (data[1] & 1) {
			uint64_t wanted = (data[2] % USABLE_MAX) * VIRTIO_MEM_BLOCK;

			most = wanted > most ? wanted : most;
			virtio_mem_request(d.device, wanted, wanted);
		}
		memcpy(driver_at(&d, in), &request, sizeof request);
		driver_put(&d, 0, 2,
			   (struct driver_segment[]){ { in, data[3] & 4 ? data[13] % 25 + 1 : 24, false },
						      { out, data[3] & 8 ? data[14] % 16 + 1 : 10, !(data[3] & 16) } });
		driver_kick(&d, 0);
		driver_take(&d, 0, NULL, NULL);
		assert(virtio_mem_plugged(d.device) <= most);
	}
	for (unsigned i = 0; i < GUARD; i++)
		assert(host[length + i] == 0x5a);
	driver_stop(&d);
	munmap(host, length + GUARD);
	return 0;
}
