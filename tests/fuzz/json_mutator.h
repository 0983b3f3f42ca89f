/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_mutator.h - a libFuzzer mutator that keeps JSON being JSON: most of the time one value of the document becomes
 * another one, goes away, or is doubled. Bytes at random would hardly get past the parser.
 */
#ifndef BULKHEAD_TESTS_JSON_MUTATOR_H
#define BULKHEAD_TESTS_JSON_MUTATOR_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static const char *const mutator_values[] = {
	"null",
	"true",
	"false",
	"0",
	"-1",
	"1",
	"9223372036854775807",
	"-9223372036854775808",
	"18446744073709551615",
	"1.5",
	"\"\"",
	"\"/\"",
	"\"..\"",
	"\"a\"",
	"\"/a/../b\"",
	"\"0-3,7\"",
	"\"\\u0000\"",
	"\"max\"",
	"[]",
	"[\"ro\"]",
	"[\"rbind\",\"ro\"]",
	"{}",
	"{\"a\":\"b\"}",
	"[{}]",
};

static size_t mutator_count(struct json_object *value)
{
	size_t count = 1;

	if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach(value, key, inner)
		{
			(void)key;
			count += mutator_count(inner);
		}
	} else if (json_object_is_type(value, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(value); i++)
			count += mutator_count(json_object_array_get_idx(value, i));
	}
	return count;
}

/* A new value, or a copy of one from elsewhere in the document. */
static struct json_object *mutator_make(struct json_object *document, unsigned *seed)
{
	struct json_object *copy = NULL, *found = document;
	unsigned pick = (unsigned)rand_r(seed) >> 4;

	if (pick % 4 != 0)
		return json_tokener_parse(mutator_values[pick % (sizeof mutator_values / sizeof *mutator_values)]);
	for (unsigned depth = pick % 5; depth > 0; depth--) {
		struct json_object *inner = NULL;

		if (json_object_is_type(found, json_type_object) && json_object_object_length(found)) {
			int skip = rand_r(seed) % json_object_object_length(found);

			json_object_object_foreach(found, key, value)
			{
				(void)key;
				if (skip-- == 0)
					inner = value;
			}
		} else if (json_object_is_type(found, json_type_array) && json_object_array_length(found)) {
			inner = json_object_array_get_idx(found,
							  (size_t)rand_r(seed) % json_object_array_length(found));
		}
		if (!inner)
			break;
		found = inner;
	}
	json_object_deep_copy(found, &copy, NULL);
	return copy;
}

/* Changes the value that is the `target`-th on the way through the tree; false if that is further on. */
static bool mutator_change(struct json_object *document, struct json_object *value, size_t *target, unsigned *seed)
{
	unsigned how = (unsigned)rand_r(seed) >> 4;

	if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach(value, key, inner)
		{
			if ((*target)-- != 0) {
				if (mutator_change(document, inner, target, seed))
					return true;
				continue;
			}
			if (how % 8 == 0)
				json_object_object_del(value, key);
			else
				json_object_object_add(value, key, mutator_make(document, seed));
			return true;
		}
	} else if (json_object_is_type(value, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(value); i++) {
			if ((*target)-- != 0) {
				if (mutator_change(document, json_object_array_get_idx(value, i), target, seed))
					return true;
				continue;
			}
			if (how % 8 == 0)
				json_object_array_del_idx(value, i, 1);
			else if (how % 8 == 1)
				json_object_array_add(value, mutator_make(document, seed));
			else
				json_object_array_put_idx(value, i, mutator_make(document, seed));
			return true;
		}
	}
	return false;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	struct json_object *document = NULL;
	size_t length = 0;

	if (rand_r(&seed) % 10 != 0 && size > 0) {
		struct json_tokener *tokener = json_tokener_new();

		document = json_tokener_parse_ex(tokener, (const char *)data, (int)size);
		json_tokener_free(tokener);
	}
	if (!json_object_is_type(document, json_type_object)) {
		json_object_put(document);
		return LLVMFuzzerMutate(data, size, max_size);
	}
	size_t target = (size_t)rand_r(&seed) % mutator_count(document);
	mutator_change(document, document, &target, &seed);
	const char *text = json_object_to_json_string_length(document, JSON_C_TO_STRING_PLAIN, &length);
	if (length <= max_size)
		memcpy(data, text, length);
	json_object_put(document);
	return length <= max_size ? length : LLVMFuzzerMutate(data, size, max_size);
}

#endif
