/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h - reading JSON that may be anything: bounded, and every complaint names the place.
 *
 * A document is at most OCI_JSON_SIZE_MAX bytes and OCI_JSON_DEPTH_MAX levels deep. Errors of form read "FILE: line N,
 * column N: unexpected character"; errors of content begin with the path of the value, "process.args[2]: must be a
 * string". A member that is null counts as absent, as for every reader written in Go.
 *
 * struct oci_json is a place in a document: a value and how one got there. It lives on the stack, points to its parent
 * (which must outlive it), and owns nothing.
 */
#ifndef BULKHEAD_OCI_JSON_H
#define BULKHEAD_OCI_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct json_object;
struct oci_map;
struct oci_strings;

#define OCI_JSON_SIZE_MAX (16u << 20)
enum { OCI_JSON_DEPTH_MAX = 64 };

/* Of an array, or of an object read as a map: what the agent's description can carry (pb_size_t). */
enum { OCI_JSON_ITEMS_MAX = 65535 };

struct oci_json {
	struct json_object *value;     /* NULL: absent */
	const struct oci_json *parent; /* NULL: the document */
	const char *key;               /* member name; NULL: element `index` of an array */
	size_t index;
};

/* Reads a document that must be an object. Free with json_object_put. "-" is standard input where `or_stdin`. */
int oci_json_read(const char *file, bool or_stdin, struct json_object **out, struct err *err);

/* The same from an open file. */
int oci_json_read_fd(const char *name, int fd, struct json_object **out, struct err *err);

/* The same from memory; `name` stands for the file in errors. */
int oci_json_parse(const char *name, const char *text, size_t length, struct json_object **out, struct err *err);

/* The document as a place. */
struct oci_json oci_json_document(struct json_object *object);

/* Sets the error "PATH: text", with the path of `at`. Returns -1. The document itself has the path "document". */
int oci_json_refuse(const struct oci_json *at, struct err *err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A member; absent (value NULL) if it is not there, or null. */
struct oci_json oci_json_member(const struct oci_json *object, const char *key);

/* An object or array member: 1 if present, 0 if absent, -1 if it has another type. */
int oci_json_object(const struct oci_json *object, const char *key, struct oci_json *out, struct err *err);
int oci_json_array(const struct oci_json *object, const char *key, struct oci_json *out, struct err *err);

size_t oci_json_length(const struct oci_json *array);
/* An element of an array, checked to be an object. */
int oci_json_element(const struct oci_json *array, size_t index, struct oci_json *out, struct err *err);

/*
 * Typed members. Absent ones leave `out` as it was and return 0; present ones of the wrong type, out of range, or
 * strings with a NUL in them are refused. Return 1 if the member is present.
 */
int oci_json_bool(const struct oci_json *object, const char *key, bool *out, struct err *err);
int oci_json_int(const struct oci_json *object, const char *key, int64_t min, int64_t max, int64_t *out,
		 struct err *err);
int oci_json_uint(const struct oci_json *object, const char *key, uint64_t max, uint64_t *out, struct err *err);
int oci_json_uint32(const struct oci_json *object, const char *key, uint32_t *out, struct err *err);
int oci_json_string(const struct oci_json *object, const char *key, char **out, struct err *err); /* a copy */
int oci_json_strings(const struct oci_json *object, const char *key, struct oci_strings *out, struct err *err);
int oci_json_map(const struct oci_json *object, const char *key, struct oci_map *out, struct err *err);

/* The same for members that must be there. Return 0 or -1. */
int oci_json_need_string(const struct oci_json *object, const char *key, char **out, struct err *err);
int oci_json_need_path(const struct oci_json *object, const char *key, char **out, struct err *err); /* absolute */
int oci_json_need_uint(const struct oci_json *object, const char *key, uint64_t max, uint64_t *out, struct err *err);

/* Debug lines for members not in `known` (NULL-terminated): the specification says to ignore them. */
void oci_json_note_unknown(const struct oci_json *object, const char *const *known);

#endif
