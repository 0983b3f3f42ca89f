/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile driver of a disk: requests of any type, place, length and shape, several at once. What is behind the disk's
 * end in its backend stays as it is, and a read-only one stays so as a whole.
 *
 * Input: a byte for the disk, then 20 bytes for each request.
 */
#include "tests/unit/virtq_driver.h"
#include "vmm/virtio_blk.h"

#include <assert.h>
#include <stdio.h>
#include <sys/mman.h>

enum { SECTORS = 32, BEHIND = 8, STEP = 20, ALL = (SECTORS + BEHIND) * BLK_SECTOR };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t length_of(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof value);
	return value % (12 * BLK_SECTOR) + 1;
}

static void ask(struct driver *d, const uint8_t *data)
{
	static const uint32_t types[] = { 0, 1, 4, 8, 11, 13, 0, 1 };
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header = { .type = types[data[0] % 8] };
	uint64_t in = driver_alloc(d, sizeof header), out = driver_alloc(d, 1),
		 content = driver_alloc(d, 16 * BLK_SECTOR);
	uint32_t length = data[1] & 1 ? length_of(data + 2) : (length_of(data + 2) + 511) / 512 * 512;
	bool is_in = header.type == 0 || header.type == 8;

	if (data[1] & 2)
		memcpy(&header.sector, data + 6, sizeof header.sector);
	else
		header.sector = data[6] % (SECTORS + 4);
	if (data[1] & 4)
		header.type = data[0];
	if (header.type >= 11 && !(data[1] & 8)) {
		length = 16;
		memcpy(driver_at(d, content), data + 4, 16);
		*(uint64_t *)driver_at(d, content) %= SECTORS + 4;
		*(uint32_t *)driver_at(d, content + 8) %= SECTORS;
	}
	memcpy(driver_at(d, in), &header, sizeof header);
	driver_put(d, 0, 3,
		   (struct driver_segment[]){ { in, data[1] & 16 ? data[14] % 20 + 1 : 16, false },
					      { content, length, data[1] & 32 ? !is_in : is_in },
					      { out, 1, !(data[1] & 64) } });
	driver_kick(d, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct driver d;
	static uint8_t before[ALL], after[ALL];
	struct virtio_blk_backend backend = { .sectors = SECTORS, .block_log = 9, .id = "fuzz" };
	struct err err = ERR_INIT;
	int file = memfd_create("disk", MFD_CLOEXEC);

	if (!size || file < 0)
		return close(file);
	backend.read_only = data[0] & 1;
	backend.fd = dup(file);
	memset(before, 0x5a, sizeof before);
	if (write(file, before, sizeof before) != sizeof before)
		abort();
	driver_start(&d, virtio_blk_create(&backend, &err), 0);
	if (virtio_blk_start(d.device, &err))
		abort();
	for (data++, size--; size >= STEP && !atomic_load(&d.failures); data += STEP, size -= STEP) {
		ask(&d, data);
		/* At times there are many under way. */
		if (data[1] & 128)
			while (driver_wait(&d, 0, NULL, NULL, 1))
				;
	}
	driver_stop(&d);
	if (pread(file, after, sizeof after, 0) != sizeof after)
		abort();
	assert(!memcmp(before + SECTORS * BLK_SECTOR, after + SECTORS * BLK_SECTOR, BEHIND * BLK_SECTOR));
	assert(!backend.read_only || !memcmp(before, after, sizeof before));
	close(file);
	return 0;
}
