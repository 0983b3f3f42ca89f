/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox device: a guest may write anything, and only what is written down has an effect. */
#include "common/err.h"
#include "vmm/guest_memory.h"
#include "vmm/guest_text.h"
#include "vmm/sandbox.h"
#include "vmm/serial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define MEMORY (2u << 20)

struct fixture {
	struct guest_memory memory;
	struct sandbox sandbox;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct err err = ERR_INIT;

	assert_int_equal(guest_memory_create(&f->memory, MEMORY, &err), 0);
	sandbox_init(&f->sandbox, &f->memory);
	f->sandbox.notice_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->sandbox.notice_fd);
	sandbox_destroy(&f->sandbox);
	guest_memory_destroy(&f->memory);
	free(f);
	return 0;
}

static bool set(struct fixture *f, uint32_t offset, uint32_t value)
{
	return sandbox_write(&f->sandbox, offset, &value, sizeof value);
}

static bool was_told(struct fixture *f)
{
	eventfd_t count;

	return !eventfd_read(f->sandbox.notice_fd, &count);
}

static void test_sandbox_says_what_it_is(void **state)
{
	struct fixture *f = *state;
	uint32_t value;
	uint64_t wide = ~0ull;

	sandbox_read(&f->sandbox, SANDBOX_REG_MAGIC, &value, 4);
	assert_int_equal(value, SANDBOX_MAGIC_VALUE);
	sandbox_read(&f->sandbox, SANDBOX_REG_VERSION, &value, 4);
	assert_int_equal(value, SANDBOX_VERSION_VALUE);
	for (uint32_t offset = 8; offset < SANDBOX_MMIO_SIZE; offset++) {
		sandbox_read(&f->sandbox, offset, &value, 4);
		assert_int_equal(value, 0);
	}
	sandbox_read(&f->sandbox, SANDBOX_REG_MAGIC, &wide, 8);
	assert_true(wide == 0);
}

static void test_sandbox_stamp_counts_once(void **state)
{
	struct fixture *f = *state;
	uint64_t first;

	assert_true(set(f, SANDBOX_REG_STAMP, SANDBOX_STAMP_AGENT_READY));
	assert_true(was_told(f));
	first = sandbox_stamp(&f->sandbox, SANDBOX_STAMP_AGENT_READY);
	assert_int_not_equal(first, 0);
	assert_int_equal(sandbox_stamp(&f->sandbox, SANDBOX_STAMP_MODULE), 0);
	assert_true(set(f, SANDBOX_REG_STAMP, SANDBOX_STAMP_AGENT_READY));
	assert_true(set(f, SANDBOX_REG_STAMP, SANDBOX_STAMP_NONE));
	assert_true(set(f, SANDBOX_REG_STAMP, SANDBOX_STAMP_COUNT));
	assert_true(set(f, SANDBOX_REG_STAMP, 0xffffffff));
	assert_false(was_told(f));
	assert_int_equal(sandbox_stamp(&f->sandbox, SANDBOX_STAMP_AGENT_READY), first);
	assert_int_equal(f->sandbox.refused, 4);
}

static void test_sandbox_power_off_ends_and_the_first_one_counts(void **state)
{
	struct fixture *f = *state;
	uint8_t status, reason;

	assert_false(sandbox_is_off(&f->sandbox, &status, &reason));
	assert_false(set(f, SANDBOX_REG_POWER_OFF, 42 | SANDBOX_OFF_PANIC << 8));
	assert_false(set(f, SANDBOX_REG_POWER_OFF, 0));
	assert_false(set(f, SANDBOX_REG_STAMP, SANDBOX_STAMP_MODULE));
	assert_true(was_told(f));
	assert_true(sandbox_is_off(&f->sandbox, &status, &reason));
	assert_int_equal(status, 42);
	assert_int_equal(reason, SANDBOX_OFF_PANIC);
}

static void test_sandbox_unknown_reason_is_not_passed_on(void **state)
{
	struct fixture *f = *state;
	uint8_t status, reason;

	set(f, SANDBOX_REG_POWER_OFF, 0xffffff07);
	assert_true(sandbox_is_off(&f->sandbox, &status, &reason));
	assert_int_equal(status, 7);
	assert_int_equal(reason, SANDBOX_OFF_AGENT);
}

static void say_panic(struct fixture *f, uint64_t address, uint32_t length)
{
	set(f, SANDBOX_REG_PANIC_ADDR_LOW, (uint32_t)address);
	set(f, SANDBOX_REG_PANIC_ADDR_HIGH, (uint32_t)(address >> 32));
	set(f, SANDBOX_REG_PANIC_LENGTH, length);
}

static void test_sandbox_panic_text_is_copied_and_bounded(void **state)
{
	struct fixture *f = *state;
	char *guest = (char *)f->memory.ranges[0].host, out[SANDBOX_PANIC_MAX];

	assert_int_equal(sandbox_panic(&f->sandbox, out), 0);
	memset(guest, 'x', MEMORY);
	memcpy(guest + 0x1000, "it broke", 8);
	say_panic(f, 0x1000, 8);
	assert_int_equal(sandbox_panic(&f->sandbox, out), 8);
	assert_memory_equal(out, "it broke", 8);
	/* Addresses that are not memory leave the last text alone. */
	say_panic(f, MEMORY - 4, 5);
	say_panic(f, UINT64_MAX, 1);
	say_panic(f, UINT64_MAX, 0xffffffff);
	say_panic(f, 0x1000, 0);
	assert_int_equal(sandbox_panic(&f->sandbox, out), 8);
	say_panic(f, 0, 0xffffffff);
	assert_int_equal(sandbox_panic(&f->sandbox, out), SANDBOX_PANIC_MAX);
	/* The text is a copy: the guest cannot change it afterwards. */
	guest[0] = 'y';
	sandbox_panic(&f->sandbox, out);
	assert_int_equal(out[0], 'x');
}

static void test_sandbox_other_widths_and_places_do_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t value = SANDBOX_STAMP_MODULE;
	uint8_t status, reason;

	for (uint32_t offset = 0; offset < SANDBOX_MMIO_SIZE; offset++)
		for (unsigned length = 1; length <= 8; length *= 2)
			if (length != 4)
				assert_true(sandbox_write(&f->sandbox, offset, &value, length));
	for (uint32_t offset = 0; offset < SANDBOX_MMIO_SIZE; offset++)
		if (offset % 4 || offset > SANDBOX_REG_PANIC_LENGTH || offset < SANDBOX_REG_STAMP)
			assert_true(set(f, offset, 1));
	assert_false(sandbox_is_off(&f->sandbox, &status, &reason));
	assert_int_equal(sandbox_stamp(&f->sandbox, SANDBOX_STAMP_MODULE), 0);
	assert_false(was_told(f));
}

static void write_text(struct serial *serial, const char *text)
{
	while (*text)
		serial_write(serial, 0, (uint8_t)*text++);
}

static void test_serial_keeps_the_tail(void **state)
{
	struct serial serial;
	char out[SERIAL_TAIL_SIZE];

	(void)state;
	serial_init(&serial);
	assert_int_equal(serial_read(&serial, 5), 0x60);
	assert_int_equal(serial_tail(&serial, out), 0);
	write_text(&serial, "one\r\ntwo");
	assert_int_equal(serial_tail(&serial, out), 8);
	assert_memory_equal(out, "one\r\ntwo", 8);
	/* With the divisor selected, the first port is not for characters. */
	serial_write(&serial, 3, 0x83);
	assert_int_equal(serial_read(&serial, 3), 0x83);
	write_text(&serial, "divisor");
	serial_write(&serial, 3, 0x03);
	assert_int_equal(serial_tail(&serial, out), 8);
	for (int i = 0; i < 1000; i++)
		write_text(&serial, "0123456789");
	write_text(&serial, "end");
	assert_int_equal(serial_tail(&serial, out), SERIAL_TAIL_SIZE);
	assert_memory_equal(out + SERIAL_TAIL_SIZE - 6, "789end", 6);
	serial_destroy(&serial);
}

static void test_guest_text_is_made_safe_for_one_line(void **state)
{
	static const struct {
		const char *raw, *safe;
	} texts[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "two\nlines\n\n", "two | lines" },
		{ "[    0.123456] Kernel panic\r\n[   12.000001] more", "Kernel panic | more" },
		{ "[not a stamp] x\n[1.2]y\n[", "[not a stamp] x | [1.2]y | [" },
		{ "\x1b[31mred\ttab\\", "\\x1b[31mred tab\\x5c" },
		{ "\xff", "\\xff" },
	};
	char out[64];

	(void)state;
	for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
		guest_text_escape(texts[i].raw, strlen(texts[i].raw), out, sizeof out);
		assert_string_equal(out, texts[i].safe);
	}
	assert_int_equal(guest_text_escape("abcdef", 6, out, 4), 3);
	assert_string_equal(out, "abc");
	assert_int_equal(guest_text_escape("ab\xff", 3, out, 6), 2);
	assert_string_equal(out, "ab");
	assert_int_equal(guest_text_find_panic("noise Oops: x Kernel panic", 26), 6);
	assert_int_equal(guest_text_find_panic("all is well", 11), 11);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sandbox_says_what_it_is),
		TEST(test_sandbox_stamp_counts_once),
		TEST(test_sandbox_power_off_ends_and_the_first_one_counts),
		TEST(test_sandbox_unknown_reason_is_not_passed_on),
		TEST(test_sandbox_panic_text_is_copied_and_bounded),
		TEST(test_sandbox_other_widths_and_places_do_nothing),
		cmocka_unit_test(test_serial_keeps_the_tail),
		cmocka_unit_test(test_guest_text_is_made_safe_for_one_line),
	};

	return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
