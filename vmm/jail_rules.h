/* SPDX-License-Identifier: Apache-2.0 */
/* jail_rules.h - the system calls of each kind of thread, and the filter made of them. */
#ifndef BULKHEAD_JAIL_RULES_H
#define BULKHEAD_JAIL_RULES_H

#include "vmm/jail.h"

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

enum jail_action {
	JAIL_ALLOW,
	JAIL_ONE_OF,  /* allowed if the argument, in its lower 32 bits, is one of the values */
	JAIL_NONE_OF, /* allowed if the argument has none of the bits in the first value */
	JAIL_ERRNO,   /* answered with the first value as error */
};

enum { JAIL_VALUES_MAX = 24 };

struct jail_rule {
	uint16_t number;
	uint8_t action, argument;
	uint32_t values[JAIL_VALUES_MAX]; /* up to the first 0 */
};

struct jail_rules {
	const struct jail_rule *rules;
	size_t count;
};

/* What every thread may do, then what this kind may do beyond it. */
extern const struct jail_rules jail_common, jail_special[JAIL_THREADS];

enum { JAIL_FILTER_MAX = 512 };

/* Makes the filter; returns its length in instructions, at most JAIL_FILTER_MAX. */
unsigned jail_filter(enum jail_thread kind, struct sock_filter *out);

#endif
