/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The json-c parser does the grammar; what it leaves open is decided here: sizes, depth, what follows the document,
 * and words that tell a person where to look.
 */
#include "oci/json.h"

#include "oci/alloc.h"
#include "oci/strings.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/fd_stat.h"
#include "common/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The whole of `fd`, with a NUL after it. */
static int read_all(const char *name, int fd, char **out, size_t *length, struct err *err)
{
	auto_free char *text = NULL;
	size_t used = 0, room = 0;
	struct stat st;

	if (fd_stat(fd, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return err_set(err, EISDIR, "%s: is a directory", name);
		if (S_ISREG(st.st_mode) && st.st_size > (off_t)OCI_JSON_SIZE_MAX)
			return err_set(err, EFBIG, "%s: larger than %u MiB", name, OCI_JSON_SIZE_MAX >> 20);
		if (S_ISREG(st.st_mode))
			room = (size_t)st.st_size + 2;
	}
	for (;;) {
		if (used + 1 >= room || !text) {
			room = room <= used + 1 ? used * 2 + 4096 : room;
			char *bigger = realloc(text, room);
			if (!bigger)
				return err_set(err, ENOMEM, "%s: out of memory", name);
			text = bigger;
		}
		ssize_t n = read(fd, text + used, room - used - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set_errno(err, "%s", name);
		if (n == 0)
			break;
		used += (size_t)n;
		if (used > OCI_JSON_SIZE_MAX)
			return err_set(err, EFBIG, "%s: larger than %u MiB", name, OCI_JSON_SIZE_MAX >> 20);
	}
	text[used] = '\0';
	*out = take_ptr(&text);
	*length = used;
	return 0;
}

int oci_json_read_fd(const char *name, int fd, struct json_object **out, struct err *err)
{
	auto_free char *text = NULL;
	size_t length = 0;

	if (read_all(name, fd, &text, &length, err) < 0)
		return -1;
	return oci_json_parse(name, text, length, out, err);
}

int oci_json_read(const char *file, bool or_stdin, struct json_object **out, struct err *err)
{
	if (or_stdin && strcmp(file, "-") == 0)
		return oci_json_read_fd("standard input", STDIN_FILENO, out, err);

	auto_fd int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_set_errno(err, "%s", file);
	return oci_json_read_fd(file, fd, out, err);
}

/* "NAME: line N, column N: why", for the byte at `offset`. */
static int refuse_text(const char *name, const char *text, size_t offset, const char *why, struct err *err)
{
	size_t line = 1, start = 0;

	for (size_t i = 0; i < offset; i++) {
		if (text[i] == '\n') {
			line++;
			start = i + 1;
		}
	}
	return err_set(err, EINVAL, "%s: line %zu, column %zu: %s", name, line, offset - start + 1, why);
}

static size_t skip_white(const char *text, size_t at, size_t length)
{
	while (at < length && text[at] && strchr(" \t\r\n", text[at]))
		at++;
	return at;
}

/* `digits` of them at `text` say more than a uint64, or with a minus before them less than an int64. */
static bool is_out_of_range(const char *text, size_t digits, bool negative)
{
	const char *limit = negative ? "9223372036854775808" : "18446744073709551615";
	size_t limit_digits = strlen(limit);

	return digits > limit_digits || (digits == limit_digits && memcmp(text, limit, digits) > 0);
}

/*
 * Two things json-c lets pass: integers that fit nowhere, which it clamps, and names in single quotes. Looks only
 * outside of strings; everything else is left to the grammar. Returns `length` if there is nothing to complain of.
 */
static size_t find_leniency(const char *text, size_t length, const char **why)
{
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '"') {
			for (i++; i < length && text[i] != '"'; i++)
				if (text[i] == '\\')
					i++;
		} else if (text[i] == '\'') {
			*why = "unexpected character";
			return i;
		} else if (text[i] >= '0' && text[i] <= '9') {
			size_t start = i;

			while (i < length && text[i] >= '0' && text[i] <= '9')
				i++;
			bool integer = i == length || !strchr(".eE", text[i]) || !text[i];
			if (integer && is_out_of_range(text + start, i - start, start > 0 && text[start - 1] == '-')) {
				*why = "number out of range";
				return start;
			}
			/* A fraction or an exponent has no range to check. */
			while (!integer && i < length && text[i] && strchr(".eE+-0123456789", text[i]))
				i++;
			i--;
		}
	}
	return length;
}

int oci_json_parse(const char *name, const char *text, size_t length, struct json_object **out, struct err *err)
{
	const char *odd = NULL;
	size_t start, end;

	if (length > OCI_JSON_SIZE_MAX)
		return err_set(err, EFBIG, "%s: larger than %u MiB", name, OCI_JSON_SIZE_MAX >> 20);
	start = skip_white(text, 0, length);
	if (start == length)
		return err_set(err, EINVAL, "%s: empty, should be a JSON object", name);
	if (text[start] && strchr("[\"-0123456789tfn", text[start]))
		return err_set(err, EINVAL, "%s: must be a JSON object, which begins with '{'", name);
	end = find_leniency(text, length, &odd);
	if (odd)
		return refuse_text(name, text, end, odd, err);
	/* A level more for json-c, which counts the scalars inside the innermost array or object. */
	struct json_tokener *tokener = json_tokener_new_ex(OCI_JSON_DEPTH_MAX + 1);
	if (!tokener)
		return err_set(err, ENOMEM, "%s: out of memory", name);
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
	struct json_object *object = json_tokener_parse_ex(tokener, text, (int)length);
	enum json_tokener_error code = json_tokener_get_error(tokener);
	end = json_tokener_get_parse_end(tokener);
	json_tokener_free(tokener);

	if (end > length)
		end = length;
	if (code != json_tokener_success) {
		char deep[64];
		const char *why = json_tokener_error_desc(code);

		if (code == json_tokener_error_depth) {
			snprintf(deep, sizeof deep, "nested deeper than %d levels", OCI_JSON_DEPTH_MAX);
			why = deep;
		} else if (code == json_tokener_continue || code == json_tokener_error_parse_eof) {
			why = end < length ? "unexpected character" : "unexpected end";
		}
		return refuse_text(name, text, end, why, err);
	}
	/* Only white space may follow. */
	end = skip_white(text, end, length);
	if (end < length) {
		json_object_put(object);
		return refuse_text(name, text, end, "unexpected character after the end of the document", err);
	}
	assert(json_object_is_type(object, json_type_object));
	*out = object;
	return 0;
}

struct oci_json oci_json_document(struct json_object *object)
{
	return (struct oci_json){ .value = object };
}

/* Writes the path of `at`; returns its length, which may be cut to what fits. */
static size_t write_path(const struct oci_json *at, char *out, size_t size)
{
	size_t used = 0;
	int n;

	if (!at->parent)
		return 0;
	used = write_path(at->parent, out, size);
	if (at->key)
		n = snprintf(out + used, size - used, "%s%s", used ? "." : "", at->key);
	else
		n = snprintf(out + used, size - used, "[%zu]", at->index);
	if (n < 0)
		return used;
	return (size_t)n < size - used ? used + (size_t)n : size - 1;
}

int oci_json_refuse(const struct oci_json *at, struct err *err, const char *format, ...)
{
	char path[256] = "", text[ERR_TEXT_MAX - sizeof path];
	va_list args;

	write_path(at, path, sizeof path);
	va_start(args, format);
	if (vsnprintf(text, sizeof text, format, args) < 0)
		text[0] = '\0';
	va_end(args);
	err_set(err, EINVAL, "%s: %s", path[0] ? path : "document", text);
	return -1;
}

struct oci_json oci_json_member(const struct oci_json *object, const char *key)
{
	struct oci_json at = { .parent = object, .key = key };

	if (json_object_is_type(object->value, json_type_object))
		json_object_object_get_ex(object->value, key, &at.value);
	return at;
}

static int get_typed(const struct oci_json *object, const char *key, enum json_type type, const char *words,
		     struct oci_json *out, struct err *err)
{
	*out = oci_json_member(object, key);
	if (!out->value)
		return 0;
	if (!json_object_is_type(out->value, type))
		return oci_json_refuse(out, err, "must be %s", words);
	if (type == json_type_array && json_object_array_length(out->value) > OCI_JSON_ITEMS_MAX)
		return oci_json_refuse(out, err, "has more than %d elements", OCI_JSON_ITEMS_MAX);
	return 1;
}

int oci_json_object(const struct oci_json *object, const char *key, struct oci_json *out, struct err *err)
{
	return get_typed(object, key, json_type_object, "an object", out, err);
}

int oci_json_array(const struct oci_json *object, const char *key, struct oci_json *out, struct err *err)
{
	return get_typed(object, key, json_type_array, "an array", out, err);
}

size_t oci_json_length(const struct oci_json *array)
{
	return json_object_array_length(array->value);
}

static struct oci_json element(const struct oci_json *array, size_t index)
{
	return (struct oci_json){
		.value = json_object_array_get_idx(array->value, index),
		.parent = array,
		.index = index,
	};
}

int oci_json_element(const struct oci_json *array, size_t index, struct oci_json *out, struct err *err)
{
	*out = element(array, index);
	if (!json_object_is_type(out->value, json_type_object))
		return oci_json_refuse(out, err, "must be an object");
	return 0;
}

int oci_json_bool(const struct oci_json *object, const char *key, bool *out, struct err *err)
{
	struct oci_json at;
	int found = get_typed(object, key, json_type_boolean, "true or false", &at, err);

	if (found > 0)
		*out = json_object_get_boolean(at.value);
	return found;
}

/* json-c keeps numbers as int64 or uint64 and clamps when asked for the other one. */
static bool is_above_int64(struct json_object *number)
{
	return json_object_get_int64(number) == INT64_MAX && json_object_get_uint64(number) > (uint64_t)INT64_MAX;
}

int oci_json_int(const struct oci_json *object, const char *key, int64_t min, int64_t max, int64_t *out,
		 struct err *err)
{
	struct oci_json at;
	int found = get_typed(object, key, json_type_int, "an integer", &at, err);

	if (found <= 0)
		return found;
	int64_t value = json_object_get_int64(at.value);
	if (is_above_int64(at.value) || value < min || value > max)
		return oci_json_refuse(&at, err, "must be from %" PRId64 " to %" PRId64 ", not %s", min, max,
				       json_object_to_json_string(at.value));
	*out = value;
	return 1;
}

int oci_json_uint(const struct oci_json *object, const char *key, uint64_t max, uint64_t *out, struct err *err)
{
	struct oci_json at;
	int found = get_typed(object, key, json_type_int, "an integer", &at, err);

	if (found <= 0)
		return found;
	uint64_t value = json_object_get_uint64(at.value);
	if (json_object_get_int64(at.value) < 0 || value > max)
		return oci_json_refuse(&at, err, "must be from 0 to %" PRIu64 ", not %s", max,
				       json_object_to_json_string(at.value));
	*out = value;
	return 1;
}

int oci_json_uint32(const struct oci_json *object, const char *key, uint32_t *out, struct err *err)
{
	uint64_t value;
	int found = oci_json_uint(object, key, UINT32_MAX, &value, err);

	if (found > 0)
		*out = (uint32_t)value;
	return found;
}

/* The C string of a value, or NULL and the error set. */
static const char *get_text(const struct oci_json *at, struct err *err)
{
	if (!json_object_is_type(at->value, json_type_string)) {
		oci_json_refuse(at, err, "must be a string");
		return NULL;
	}
	const char *text = json_object_get_string(at->value);
	if (strlen(text) != (size_t)json_object_get_string_len(at->value)) {
		oci_json_refuse(at, err, "must not contain a NUL character");
		return NULL;
	}
	return text;
}

int oci_json_string(const struct oci_json *object, const char *key, char **out, struct err *err)
{
	struct oci_json at = oci_json_member(object, key);

	if (!at.value)
		return 0;
	const char *text = get_text(&at, err);
	if (!text)
		return -1;
	free(*out);
	*out = oci_strdup(text);
	return 1;
}

int oci_json_strings(const struct oci_json *object, const char *key, struct oci_strings *out, struct err *err)
{
	struct oci_json array;
	int found = get_typed(object, key, json_type_array, "an array of strings", &array, err);

	if (found <= 0)
		return found;
	for (size_t i = 0; i < oci_json_length(&array); i++) {
		struct oci_json at = element(&array, i);
		const char *text = get_text(&at, err);

		if (!text)
			return -1;
		oci_strings_add(out, text);
	}
	return 1;
}

int oci_json_map(const struct oci_json *object, const char *key, struct oci_map *out, struct err *err)
{
	struct oci_json members;
	int found = get_typed(object, key, json_type_object, "an object of strings", &members, err);

	if (found <= 0)
		return found;
	if (json_object_object_length(members.value) > OCI_JSON_ITEMS_MAX)
		return oci_json_refuse(&members, err, "has more than %d members", OCI_JSON_ITEMS_MAX);
	json_object_object_foreach(members.value, name, value)
	{
		struct oci_json at = { .value = value, .parent = &members, .key = name };
		const char *text = get_text(&at, err);

		if (!text)
			return -1;
		/* The parser has removed duplicates: no search, as there may be a million members. */
		oci_map_add(out, name, text);
	}
	return 1;
}

static int need(const struct oci_json *object, const char *key, int found, struct err *err)
{
	if (found == 0) {
		struct oci_json at = oci_json_member(object, key);

		return oci_json_refuse(&at, err, "missing");
	}
	return found < 0 ? -1 : 0;
}

int oci_json_need_string(const struct oci_json *object, const char *key, char **out, struct err *err)
{
	return need(object, key, oci_json_string(object, key, out, err), err);
}

int oci_json_need_path(const struct oci_json *object, const char *key, char **out, struct err *err)
{
	if (oci_json_need_string(object, key, out, err) < 0)
		return -1;
	if ((*out)[0] != '/') {
		struct oci_json at = oci_json_member(object, key);

		return oci_json_refuse(&at, err, "must be an absolute path, not \"%s\"", *out);
	}
	return 0;
}

int oci_json_need_uint(const struct oci_json *object, const char *key, uint64_t max, uint64_t *out, struct err *err)
{
	return need(object, key, oci_json_uint(object, key, max, out, err), err);
}

void oci_json_note_unknown(const struct oci_json *object, const char *const *known)
{
	if (!log_is_enabled(LOG_DEBUG))
		return;
	json_object_object_foreach(object->value, name, value)
	{
		const char *const *k = known;

		(void)value;
		while (*k && strcmp(*k, name) != 0)
			k++;
		if (!*k) {
			struct oci_json at = { .parent = object, .key = name };
			struct err note = ERR_INIT;

			oci_json_refuse(&at, &note, "unknown, ignored");
			log_debug("%s", note.text);
		}
	}
}
