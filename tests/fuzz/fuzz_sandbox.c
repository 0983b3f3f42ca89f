/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox device's registers, in any order and width, with memory that the guest rewrites in between. What it keeps
 * is inside its bounds, and what it writes to guest memory is inside that.
 *
 * Input: operations of 8 bytes: kind and width, a spare byte, offset (2), value (4).
 *
 * Covers: vmm/sandbox.c vmm/guest_text.c
 */
#include "common/err.h"
#include "vmm/guest_memory.h"
#include "vmm/guest_text.h"
#include "vmm/sandbox.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { READ, WRITE, REGISTER, POKE, RENEW, SAVE, KIND_COUNT };

static const uint32_t registers[] = {
	SANDBOX_REG_STAMP,        SANDBOX_REG_POWER_OFF,    SANDBOX_REG_PANIC_ADDR_LOW, SANDBOX_REG_PANIC_ADDR_HIGH,
	SANDBOX_REG_PANIC_LENGTH, SANDBOX_REG_IDENTITY_LOW, SANDBOX_REG_IDENTITY_HIGH,  SANDBOX_REG_MAGIC,
};

static void check(struct sandbox *sandbox)
{
	char raw[SANDBOX_PANIC_MAX], text[512];
	uint8_t status, reason;
	size_t length = sandbox_panic(sandbox, raw);

	assert(length <= sizeof raw);
	size_t used = guest_text_escape(raw, length, text, sizeof text);
	assert(used < sizeof text && strlen(text) == used);
	for (size_t i = 0; i < used; i++)
		assert(text[i] >= 0x20 && text[i] < 0x7f);
	assert(guest_text_find_panic(raw, length) <= length);
	if (sandbox_is_off(sandbox, &status, &reason))
		assert(reason < SANDBOX_OFF_REASON_COUNT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct guest_memory memory;
	struct sandbox sandbox, other;
	struct sandbox_saved saved;
	struct err err = ERR_INIT;

	if (!memory.count && guest_memory_create(&memory, 2 << 20, &err))
		abort();
	sandbox_init(&sandbox, &memory);
	sandbox_init(&other, &memory);
	for (; size >= 8; data += 8, size -= 8) {
		unsigned length = 1u << (data[0] >> 6);
		uint32_t offset = (data[2] | (uint32_t)data[3] << 8) % (SANDBOX_MMIO_SIZE - 7), value;
		uint8_t wide[8] = { 0 };

		memcpy(&value, data + 4, sizeof value);
		memcpy(wide, &value, sizeof value);
		switch ((data[0] & 63) % KIND_COUNT) {
		case READ:
			sandbox_read(&sandbox, offset, wide, length);
			break;
		case WRITE:
			sandbox_write(&sandbox, offset, wide, length);
			break;
		case REGISTER:
			sandbox_write(&sandbox, registers[data[1] % (sizeof registers / sizeof *registers)], wide, 4);
			break;
		case POKE:
			memcpy(memory.ranges[0].host + offset, data + 4, 4);
			break;
		case RENEW:
			sandbox_renew(&sandbox, &err);
			break;
		case SAVE:
			sandbox_save(&sandbox, &saved);
			sandbox_restore(&other, &saved, &err);
			break;
		}
		check(&sandbox);
	}
	for (unsigned i = 0; i < SANDBOX_STAMP_COUNT; i++)
		sandbox_stamp(&sandbox, i);
	sandbox_destroy(&sandbox);
	sandbox_destroy(&other);
	return 0;
}
