/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounts.h - the `mounts` of config.json: destination, source, and options turned into the kernel's flags.
 */
#ifndef BULKHEAD_OCI_MOUNTS_H
#define BULKHEAD_OCI_MOUNTS_H

#include "oci/idmap.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct oci_json;

struct oci_mount {
	char *destination; /* absolute */
	char *type;        /* NULL: none given; "bind" for every bind mount */
	char *source;      /* NULL: none given */
	bool bind;
	uint64_t flags, flags_clear;   /* MS_*; MS_BIND and MS_REC for binds */
	uint64_t propagation;          /* MS_PRIVATE ..., with or without MS_REC; 0: none asked for */
	uint64_t attr_set, attr_clear; /* MOUNT_ATTR_*, recursive (rro, rnosuid ...) */
	char *data;                    /* the rest, comma separated; NULL: none */
	bool copy_up;                  /* tmpcopyup */
	bool idmap, idmap_recursive;   /* the options idmap and ridmap */
	struct oci_id_mappings uid_mappings, gid_mappings;
};

int oci_mount_parse(const struct oci_json *at, struct oci_mount *out, struct err *err);
void oci_mount_fini(struct oci_mount *mount);

/* Applies one option to `mount`, as it would stand in `options`. Unknown ones go to `data`. */
void oci_mount_option(struct oci_mount *mount, const char *option);

/* The names of all options that are not file-system specific, NULL-terminated and sorted, for `features`. */
const char *const *oci_mount_option_names(void);

/* "rslave" and the like as MS_* bits; 0 if `text` is none of them. */
uint64_t oci_mount_propagation(const char *text);

#endif
