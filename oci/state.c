/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/state.h"

#include "oci/alloc.h"
#include "oci/features.h"
#include "oci/strings.h"

#include "common/err.h"
#include "common/utc.h"

#include <assert.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { ID_MAX = 1024 };

static const char *const status_names[] = {
	[OCI_STATUS_CREATING] = "creating", [OCI_STATUS_CREATED] = "created", [OCI_STATUS_RUNNING] = "running",
	[OCI_STATUS_PAUSED] = "paused",     [OCI_STATUS_STOPPED] = "stopped",
};
static_assert(sizeof status_names / sizeof *status_names == OCI_STATUS_COUNT, "one name per status");

const char *oci_status_name(enum oci_status status)
{
	assert(status < OCI_STATUS_COUNT);
	return status_names[status];
}

void oci_time_text(int64_t ns, char out[40])
{
	const int64_t second = 1000000000;
	int64_t seconds = ns / second;
	long fraction = (long)(ns % second);
	char digits[16] = "", whole[UTC_TEXT_SIZE];

	if (fraction < 0) {
		seconds--;
		fraction += second;
	}
	utc_text(seconds, whole);
	if (fraction != 0) {
		int length = snprintf(digits, sizeof digits, ".%09ld", fraction);

		while (digits[length - 1] == '0')
			digits[--length] = '\0';
	}
	snprintf(out, 40, "%.19s%sZ", whole, digits);
}

static void add_string(struct json_object *object, const char *key, const char *value)
{
	if (value)
		json_object_object_add(object, key, json_object_new_string(value));
}

static struct json_object *make_object(const struct oci_state *state)
{
	struct json_object *object = json_object_new_object();
	char created[40];

	add_string(object, "ociVersion", OCI_VERSION_MAX);
	add_string(object, "id", state->id);
	json_object_object_add(object, "pid",
			       json_object_new_int64(state->status == OCI_STATUS_STOPPED ? 0 : state->pid));
	add_string(object, "status", oci_status_name(state->status));
	add_string(object, "bundle", state->bundle);
	add_string(object, "rootfs", state->rootfs);
	if (state->created_ns != 0) {
		oci_time_text(state->created_ns, created);
		add_string(object, "created", created);
	}
	if (state->annotations && state->annotations->count) {
		struct json_object *map = json_object_new_object();

		for (size_t i = 0; i < state->annotations->count; i++)
			add_string(map, state->annotations->items[i].key, state->annotations->items[i].value);
		json_object_object_add(object, "annotations", map);
	}
	add_string(object, "owner", state->owner);
	return object;
}

/* Frees the object. */
static char *to_text(struct json_object *object, bool indented)
{
	int flags = JSON_C_TO_STRING_NOSLASHESCAPE |
		    (indented ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED : JSON_C_TO_STRING_PLAIN);
	char *text = oci_strdup(json_object_to_json_string_ext(object, flags));

	json_object_put(object);
	return text;
}

char *oci_state_text(const struct oci_state *state, bool indented)
{
	return to_text(make_object(state), indented);
}

char *oci_state_list_text(const struct oci_state *states, size_t count)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < count; i++)
		json_object_array_add(array, make_object(&states[i]));
	return to_text(array, false);
}

char *oci_state_guest_text(const struct oci_state *state)
{
	struct json_object *object = make_object(state);

	/* Not a string in quotes: what replaces %PID% is a number. */
	json_object_object_add(object, "pid", json_object_new_double_s(0, "%PID%"));
	return to_text(object, false);
}

/* In crun's words. */
static int refuse_character(char c, struct err *err)
{
	char shown[8];

	snprintf(shown, sizeof shown, c > 0x20 && c < 0x7f ? "%c" : "\\x%02x", (unsigned char)c);
	return err_set(err, EINVAL,
		       "container ID: invalid character `%s` in the ID: only letters, digits and _ . + - are possible",
		       shown);
}

int oci_id_check(const char *id, struct err *err)
{
	size_t length = strlen(id);

	if (length == 0)
		return err_set(err, EINVAL, "container ID: is empty");
	if (length > ID_MAX)
		return err_set(err, EINVAL, "container ID: longer than %d characters", ID_MAX);
	if (strcmp(id, ".") == 0 || strcmp(id, "..") == 0)
		return err_set(err, EINVAL, "container ID \"%s\": invalid: is no name of a directory", id);
	for (const char *c = id; *c; c++) {
		/* Not isalnum: what it accepts depends on the locale. */
		bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');

		if (!letter && !strchr("_.+-", *c))
			return refuse_character(*c, err);
	}
	if (*id == '.')
		return err_set(err, EINVAL, "container ID \"%s\": invalid: begins with a dot", id);
	return 0;
}
