/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: the header's bytes, and the bound of every type. */
#include "common/proto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_proto_header_is_packed_by_offset(void **state)
{
	const struct proto_header in = { .length = 0x04030201, .type = 0x0605, .id = 0x0c0b0a09 };
	static const uint8_t expected[PROTO_HEADER_SIZE] = { 1, 2, 3, 4, 5, 6, 0, 0, 9, 10, 11, 12 };
	uint8_t bytes[PROTO_HEADER_SIZE];
	struct proto_header out;

	(void)state;
	proto_pack_header(bytes, &in);
	assert_memory_equal(bytes, expected, sizeof bytes);
	assert_true(proto_unpack_header(bytes, &out));
	assert_int_equal(out.length, in.length);
	assert_int_equal(out.type, in.type);
	assert_int_equal(out.id, in.id);
}

static void test_proto_header_extremes_survive(void **state)
{
	const struct proto_header in = { .length = 0xffffffff, .type = 0xffff, .id = 0xffffffff };
	uint8_t bytes[PROTO_HEADER_SIZE];
	struct proto_header out;

	(void)state;
	proto_pack_header(bytes, &in);
	assert_true(proto_unpack_header(bytes, &out));
	assert_int_equal(out.length, in.length);
	assert_int_equal(out.type, in.type);
	assert_int_equal(out.id, in.id);
}

static void test_proto_header_with_reserved_bytes_is_not_ours(void **state)
{
	uint8_t bytes[PROTO_HEADER_SIZE] = { 0 };
	struct proto_header out;

	(void)state;
	for (unsigned i = 6; i <= 7; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			memset(bytes, 0, sizeof bytes);
			bytes[i] = (uint8_t)(1u << bit);
			assert_false(proto_unpack_header(bytes, &out));
		}
	}
}

/* Every type once more, with its number: changing either by accident is seen here. */
static const struct {
	uint16_t type, number;
	uint32_t max;
	const char *name;
} types[] = {
	{ PROTO_ERROR, 1, 65536, "error" },
	{ PROTO_HELLO, 2, 64, "hello" },
	{ PROTO_HELLO_REPLY, 3, 64, "hello reply" },
	{ PROTO_CREATE, 4, 4194304, "create" },
	{ PROTO_CREATE_REPLY, 5, 64, "create reply" },
	{ PROTO_START, 6, 2048, "start" },
	{ PROTO_START_REPLY, 7, 0, "start reply" },
	{ PROTO_EXEC, 8, 4194304, "exec" },
	{ PROTO_EXEC_REPLY, 9, 64, "exec reply" },
	{ PROTO_WAIT, 10, 2048, "wait" },
	{ PROTO_WAIT_REPLY, 11, 64, "wait reply" },
	{ PROTO_KILL, 12, 2048, "kill" },
	{ PROTO_KILL_REPLY, 13, 0, "kill reply" },
	{ PROTO_RESIZE, 14, 2048, "resize" },
	{ PROTO_RESIZE_REPLY, 15, 0, "resize reply" },
	{ PROTO_PS, 16, 2048, "ps" },
	{ PROTO_PS_REPLY, 17, 4194304, "ps reply" },
	{ PROTO_UPDATE, 18, 65536, "update" },
	{ PROTO_UPDATE_REPLY, 19, 0, "update reply" },
	{ PROTO_STATS, 20, 2048, "stats" },
	{ PROTO_STATS_REPLY, 21, 65536, "stats reply" },
	{ PROTO_DELETE, 22, 2048, "delete" },
	{ PROTO_DELETE_REPLY, 23, 0, "delete reply" },
	{ PROTO_SHUTDOWN, 24, 0, "shutdown" },
	{ PROTO_SHUTDOWN_REPLY, 25, 0, "shutdown reply" },
	{ PROTO_ATTACH, 26, 2048, "attach" },
	{ PROTO_ATTACH_REPLY, 27, 0, "attach reply" },
	{ PROTO_FORWARD, 40, 64, "forward" },
	{ PROTO_FORWARD_REPLY, 41, 0, "forward reply" },
	{ PROTO_FREEZE, 28, 2048, "freeze" },
	{ PROTO_FREEZE_REPLY, 29, 0, "freeze reply" },
	{ PROTO_OOM_WAIT, 30, 2048, "oom wait" },
	{ PROTO_OOM_WAIT_REPLY, 31, 0, "oom wait reply" },
	{ PROTO_NET_ADD, 32, 4u << 20, "net add" },
	{ PROTO_NET_ADD_REPLY, 33, 0, "net add reply" },
	{ PROTO_NET_REMOVE, 34, 64, "net remove" },
	{ PROTO_NET_REMOVE_REPLY, 35, 0, "net remove reply" },
	{ PROTO_LOOKUP, 36, 4101, "lookup" },
	{ PROTO_LOOKUP_REPLY, 37, 65535, "lookup reply" },
	{ PROTO_RESOLVER, 38, 64, "resolver" },
	{ PROTO_RESOLVER_REPLY, 39, 0, "resolver reply" },
	{ PROTO_DEVICE_ADD, 42, 64, "device add" },
	{ PROTO_DEVICE_ADD_REPLY, 43, 0, "device add reply" },
	{ PROTO_DEVICE_REMOVE, 44, 64, "device remove" },
	{ PROTO_DEVICE_REMOVE_REPLY, 45, 0, "device remove reply" },
	{ PROTO_SUSPEND, 46, 2048, "suspend" },
	{ PROTO_SUSPEND_REPLY, 47, 0, "suspend reply" },
	{ PROTO_RELEASE, 48, 2048, "release" },
	{ PROTO_RELEASE_REPLY, 49, 0, "release reply" },
	{ PROTO_ADOPT, 50, 65536, "adopt" },
	{ PROTO_ADOPT_REPLY, 51, 64, "adopt reply" },
};

static void test_proto_every_type_has_its_number_name_and_bound(void **state)
{
	(void)state;
	/* A new type is added here too. */
	assert_int_equal(sizeof types / sizeof types[0], PROTO_TYPE_COUNT - 1);
	for (unsigned i = 0; i < sizeof types / sizeof types[0]; i++) {
		uint16_t type = types[i].type;

		assert_int_equal(type, types[i].number);
		assert_string_equal(proto_type_name(type), types[i].name);
		assert_true(proto_length_is_valid(type, 0));
		assert_true(proto_length_is_valid(type, types[i].max));
		assert_false(proto_length_is_valid(type, types[i].max + 1));
		assert_false(proto_length_is_valid(type, 0xffffffff));
	}
}

static void test_proto_reply_follows_its_request(void **state)
{
	(void)state;
	for (uint16_t type = PROTO_HELLO; type + 1 < PROTO_TYPE_COUNT; type = (uint16_t)(type + 2)) {
		char expected[64] = "";

		strcat(strcpy(expected, proto_type_name(type)), " reply");
		assert_string_equal(proto_type_name((uint16_t)(type + 1)), expected);
	}
}

static void test_proto_unknown_type_may_be_skipped_but_not_for_ever(void **state)
{
	static const uint16_t unknown[] = { 0, PROTO_TYPE_COUNT, 1000, 0x8000, 0xffff };

	(void)state;
	for (unsigned i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
		assert_string_equal(proto_type_name(unknown[i]), "unknown");
		assert_true(proto_length_is_valid(unknown[i], PROTO_SMALL_MAX));
		assert_false(proto_length_is_valid(unknown[i], PROTO_SMALL_MAX + 1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_proto_header_is_packed_by_offset),
		cmocka_unit_test(test_proto_header_extremes_survive),
		cmocka_unit_test(test_proto_header_with_reserved_bytes_is_not_ours),
		cmocka_unit_test(test_proto_every_type_has_its_number_name_and_bound),
		cmocka_unit_test(test_proto_reply_follows_its_request),
		cmocka_unit_test(test_proto_unknown_type_may_be_skipped_but_not_for_ever),
	};

	return cmocka_run_group_tests_name("proto", tests, NULL, NULL);
}
