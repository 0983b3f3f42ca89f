/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call_filter.h - a seccomp filter from tables of system calls: what a thread of the monitor may do (vmm/jail_rules.c),
 * and the proxy (runtime/proxy_rules.c).
 *
 * A row that no table has is answered with `otherwise`; a row whose argument does not fit always ends the process.
 * Pure functions, any thread.
 */
#ifndef BULKHEAD_CALL_FILTER_H
#define BULKHEAD_CALL_FILTER_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

enum call_action {
	CALL_ALLOW,
	CALL_ONE_OF,  /* allowed if the argument, in its lower 32 bits, is one of the values */
	CALL_NONE_OF, /* allowed if the argument has none of the bits in the first value */
	CALL_ERRNO,   /* answered with the first value as error */
	CALL_KILL,    /* ends the process, whatever `otherwise` is */
};

enum { CALL_VALUES_MAX = 24 };

struct call_rule {
	uint16_t number;
	uint8_t action, argument;
	uint32_t values[CALL_VALUES_MAX]; /* up to the first 0 */
};

struct call_rules {
	const struct call_rule *rules;
	size_t count;
};

/* The rows of a table, by the call's name; SYS_name has to be known. */
#define ALLOW(name)                                        \
	{                                                  \
		.number = SYS_##name, .action = CALL_ALLOW \
	}
#define ONE_OF(name, index, ...)                                                                            \
	{                                                                                                   \
		.number = SYS_##name, .action = CALL_ONE_OF, .argument = (index), .values = { __VA_ARGS__ } \
	}
#define NONE_OF(name, index, bits)                                                                     \
	{                                                                                              \
		.number = SYS_##name, .action = CALL_NONE_OF, .argument = (index), .values = {(bits) } \
	}
#define FAILS(name, code)                                                       \
	{                                                                       \
		.number = SYS_##name, .action = CALL_ERRNO, .values = {(code) } \
	}
#define KILLS(name)                                       \
	{                                                 \
		.number = SYS_##name, .action = CALL_KILL \
	}
#define CALL_RULES(table)                           \
	{                                           \
		table, sizeof table / sizeof *table \
	}

enum { CALL_RULES_MAX = 192, CALL_FILTER_MAX = 1024 };

/*
 * Makes the filter of `count` tables of CALL_RULES_MAX rows together; the first row of a call counts. `otherwise` is a
 * SECCOMP_RET_... value. Returns the length in instructions, at most CALL_FILTER_MAX.
 */
unsigned call_filter(const struct call_rules *const tables[], size_t count, uint32_t otherwise,
		     struct sock_filter out[CALL_FILTER_MAX]);

#endif
