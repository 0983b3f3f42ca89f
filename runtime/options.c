/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/options.h"

#include "common/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct option *find_name(const struct option *table, const char *name, size_t length)
{
	for (const struct option *o = table; o->name; o++) {
		if (strlen(o->name) == length && strncmp(o->name, name, length) == 0)
			return o;
	}
	return NULL;
}

static const struct option *find_letter(const struct option *table, char letter)
{
	for (const struct option *o = table; o->name; o++) {
		if (o->letter == letter)
			return o;
	}
	return NULL;
}

static int append(struct option_list *list, const char *item, struct err *err)
{
	const char **items = reallocarray(list->items, list->count + 1, sizeof *items);

	if (!items)
		return err_set(err, ENOMEM, "out of memory");
	items[list->count++] = item;
	list->items = items;
	return 0;
}

static int parse_number(const struct option *option, const char *text, struct option_number *number, struct err *err)
{
	char *end;

	errno = 0;
	number->value = strtoll(text, &end, 10);
	if (errno || end == text || *end)
		return err_set(err, EINVAL, "--%s: \"%s\" is not a number", option->name, text);
	number->given = true;
	return 0;
}

static int parse_flag(const struct option *option, const char *text, bool *flag, struct err *err)
{
	if (!text || strcmp(text, "true") == 0 || strcmp(text, "1") == 0)
		*flag = true;
	else if (strcmp(text, "false") == 0 || strcmp(text, "0") == 0)
		*flag = false;
	else
		return err_set(err, EINVAL, "--%s: \"%s\" is neither true nor false", option->name, text);
	return 0;
}

static int store(const struct option *option, void *values, const char *text, struct err *err)
{
	void *at = (char *)values + option->offset;

	switch (option->kind) {
	case OPTION_FLAG:
		return parse_flag(option, text, at, err);
	case OPTION_TEXT:
		*(const char **)at = text;
		return 0;
	case OPTION_NUMBER:
		return parse_number(option, text, at, err);
	case OPTION_LIST:
		return append(at, text, err);
	case OPTION_IGNORED:
	case OPTION_KIND_COUNT:
		return 0;
	}
	return 0;
}

/* "--name", "--name=value" or "--name value". `next` is the argument after it; *used says whether that was taken. */
static int parse_long(const struct option *table, void *values, const char *text, char *next, bool *used,
		      struct err *err)
{
	const char *equals = strchr(text, '=');
	size_t length = equals ? (size_t)(equals - text) : strlen(text);
	const struct option *option = find_name(table, text, length);
	const char *value = equals ? equals + 1 : NULL;

	*used = false;
	if (!option)
		return err_set(err, EINVAL, "unknown option --%.*s; --help lists them", (int)length, text);
	if (option->kind != OPTION_FLAG && !value) {
		if (!next)
			return err_set(err, EINVAL, "--%s needs a value", option->name);
		value = next;
		*used = true;
	}
	return store(option, values, value, err);
}

/* "-it", "-u", "-uVALUE" or "-u VALUE". */
static int parse_short(const struct option *table, void *values, const char *letters, char *next, bool *used,
		       struct err *err)
{
	*used = false;
	for (; *letters; letters++) {
		const struct option *option = find_letter(table, *letters);

		if (!option)
			return err_set(err, EINVAL, "unknown option -%c; --help lists them", *letters);
		if (option->kind == OPTION_FLAG) {
			if (store(option, values, NULL, err) < 0)
				return -1;
			continue;
		}
		if (letters[1])
			return store(option, values, letters[1] == '=' ? letters + 2 : letters + 1, err);
		if (!next)
			return err_set(err, EINVAL, "-%c needs a value", *letters);
		*used = true;
		return store(option, values, next, err);
	}
	return 0;
}

/* "-name", too: to runc's library it is the same, and containerd's shim passes -no-subreaper to `restore`. */
static bool is_long(const struct option *table, const char *arg)
{
	return arg[1] == '-' || (arg[2] && find_name(table, arg + 1, strcspn(arg + 1, "=")));
}

int options_parse(const struct option *table, void *values, int argc, char **argv, bool stop_at_operand,
		  char **operands, int *count, bool *help, struct err *err)
{
	bool ended = false;

	*count = 0;
	*help = false;
	for (int i = 0; i < argc; i++) {
		char *arg = argv[i];
		bool used;

		if (ended || arg[0] != '-' || arg[1] == '\0') {
			operands[(*count)++] = arg;
			if (stop_at_operand)
				ended = true;
			continue;
		}
		if (strcmp(arg, "--") == 0) {
			ended = true;
			continue;
		}
		if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
			*help = true;
			return 0;
		}
		char *next = i + 1 < argc ? argv[i + 1] : NULL;
		int result = is_long(table, arg)
				     ? parse_long(table, values, arg + 1 + (arg[1] == '-'), next, &used, err)
				     : parse_short(table, values, arg + 1, next, &used, err);
		if (result < 0)
			return -1;
		i += used;
	}
	return 0;
}

void options_release(const struct option *table, void *values)
{
	for (const struct option *o = table; o->name; o++) {
		if (o->kind == OPTION_LIST) {
			struct option_list *list = (struct option_list *)((char *)values + o->offset);

			free(list->items);
			list->items = NULL;
			list->count = 0;
		}
	}
}

void options_print(const struct option *table, FILE *out)
{
	for (const struct option *o = table; o->name; o++) {
		char left[64];
		char letter[8] = "    ";

		if (!o->help)
			continue;
		if (o->letter)
			snprintf(letter, sizeof letter, "-%c, ", o->letter);
		snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, o->value ? " " : "",
			 o->value ? o->value : "");
		fprintf(out, "  %-30s %s\n", left, o->help);
	}
}
