/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the table back as a kernel would: signature, checksums, and one entry after the other. */
#include "common/err.h"
#include "vmm/guest_memory.h"
#include "vmm/mptable.h"
#include "vmm/vcpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint8_t sum(const uint8_t *bytes, size_t length)
{
	uint8_t total = 0;

	while (length--)
		total = (uint8_t)(total + *bytes++);
	return total;
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof value);
	return value;
}

static uint16_t get16(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof value);
	return value;
}

static void check_table(const uint8_t *memory, unsigned count, uint32_t pins)
{
	const uint8_t *floating = memory + MPTABLE_ADDRESS, *table, *at;
	unsigned kinds[5] = { 0 }, entries;

	assert_memory_equal(floating, "_MP_", 4);
	assert_int_equal(sum(floating, 16), 0);
	table = memory + get32(floating + 4);
	assert_memory_equal(table, "PCMP", 4);
	assert_int_equal(sum(table, get16(table + 4)), 0);
	assert_true(table + get16(table + 4) <= memory + MPTABLE_ADDRESS + MPTABLE_SIZE);
	entries = get16(table + 34);
	at = table + 44;
	for (unsigned i = 0; i < entries; i++) {
		assert_in_range(at[0], 0, 4);
		if (at[0] == 0) {
			assert_int_equal(at[1], kinds[0]);              /* APIC id */
			assert_int_equal(at[3], kinds[0] == 0 ? 3 : 1); /* enabled, the first one boots */
		}
		if (at[0] == 2)
			assert_int_equal(at[1], count); /* an id that no processor has */
		if (at[0] == 3)
			assert_true(at[5] == at[7] && pins >> at[5] & 1); /* interrupt n is pin n */
		kinds[at[0]]++;
		at += at[0] == 0 ? 20 : 8;
	}
	assert_ptr_equal(at, table + get16(table + 4));
	assert_int_equal(kinds[0], count);
	assert_int_equal(kinds[1], 1);
	assert_int_equal(kinds[2], 1);
	assert_int_equal(kinds[3], __builtin_popcount(pins));
	assert_int_equal(kinds[4], 2);
}

static void test_mptable_any_number_of_processors_is_well_formed(void **state)
{
	struct guest_memory memory;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(guest_memory_create(&memory, 2 << 20, &err), 0);
	for (unsigned count = 1; count <= VCPUS_MAX; count++) {
		mptable_write(&memory, count, (1u << MPTABLE_PINS) - 1);
		check_table(memory.ranges[0].host, count, (1u << MPTABLE_PINS) - 1);
		mptable_write(&memory, count, 0x1e1);
		check_table(memory.ranges[0].host, count, 0x1e1);
	}
	guest_memory_destroy(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_mptable_any_number_of_processors_is_well_formed) };

	return cmocka_run_group_tests_name("mptable", tests, NULL, NULL);
}
