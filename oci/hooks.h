/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hooks.h - the six lists of hooks.
 */
#ifndef BULKHEAD_OCI_HOOKS_H
#define BULKHEAD_OCI_HOOKS_H

#include "oci/strings.h"

#include <stdbool.h>
#include <stddef.h>

struct err;
struct json_object;
struct oci_json;

enum oci_hook_kind {
	OCI_HOOK_PRESTART,
	OCI_HOOK_CREATE_RUNTIME,
	OCI_HOOK_CREATE_CONTAINER,
	OCI_HOOK_START_CONTAINER, /* the only one that runs in the guest */
	OCI_HOOK_POSTSTART,
	OCI_HOOK_POSTSTOP,
	OCI_HOOK_COUNT
};

struct oci_hook {
	char *path; /* absolute */
	struct oci_strings args, env;
	bool inherits_env; /* `env` is not there, which is not the same as empty: runc's hooks have the runtime's then
			    */
	unsigned timeout;  /* seconds; 0: none */
};

struct oci_hook_list {
	struct oci_hook *items;
	size_t count;
};

struct oci_hooks {
	struct oci_hook_list lists[OCI_HOOK_COUNT];
};

/* "prestart" and so on, as in config.json. */
const char *oci_hook_name(enum oci_hook_kind kind);

/* The member `hooks` of `at`, if it is there. */
int oci_hooks_parse(const struct oci_json *at, struct oci_hooks *out, struct err *err);
void oci_hooks_destroy(struct oci_hooks *hooks);

/* One list, for the state file: read the array member `key`, and the array to write. */
int oci_hook_list_parse(const struct oci_json *at, const char *key, struct oci_hook_list *out, struct err *err);
struct json_object *oci_hook_list_to_json(const struct oci_hook_list *list);
void oci_hook_list_copy(struct oci_hook_list *out, const struct oci_hook_list *from);
void oci_hook_list_destroy(struct oci_hook_list *list);

#endif
