/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - command line options, described by a table and stored into a struct.
 *
 * Accepts --name value, --name=value, -n value, -nvalue, and for flags --name, --name=true|false and joined letters
 * (-it). "--" ends the options. Values are not copied: they live as long as argv. The last occurrence wins, except for
 * lists, which collect.
 */
#ifndef BULKHEAD_RUNTIME_OPTIONS_H
#define BULKHEAD_RUNTIME_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct err;

enum option_kind {
	OPTION_FLAG,    /* bool */
	OPTION_TEXT,    /* const char * */
	OPTION_NUMBER,  /* struct option_number: a decimal integer, may be negative */
	OPTION_LIST,    /* struct option_list */
	OPTION_IGNORED, /* takes a value and forgets it: engines pass it, here it means nothing */
	OPTION_KIND_COUNT
};

struct option_number {
	bool given;
	long long value;
};

struct option_list {
	const char **items; /* freed by options_release */
	size_t count;
};

struct option {
	const char *name;
	char letter; /* 0: none */
	enum option_kind kind;
	size_t offset;     /* of the value in the caller's struct */
	const char *value; /* what the help calls the value */
	const char *help;  /* NULL: accepted, but not shown */
};

/* A table ends with an entry without a name. */
#define OPTION_END                                  \
	{                                           \
		NULL, 0, OPTION_FLAG, 0, NULL, NULL \
	}

/*
 * Parses argv[0..argc). Operands go to `operands` (room for argc pointers), their number to *count. With
 * `stop_at_operand` everything from the first operand on is an operand, dashes or not. *help is set, and nothing else
 * looked at, when --help or -h is found.
 */
int options_parse(const struct option *table, void *values, int argc, char **argv, bool stop_at_operand,
		  char **operands, int *count, bool *help, struct err *err);

/* Frees what lists hold. */
void options_release(const struct option *table, void *values);

/* One line per option, for --help. */
void options_print(const struct option *table, FILE *out);

#endif
