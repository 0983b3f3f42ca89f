/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod_shares.h - which shares the members of a pod have in its VM, by what their state files say: a list of names
 * between commas.
 */
#ifndef BULKHEAD_RUNTIME_POD_SHARES_H
#define BULKHEAD_RUNTIME_POD_SHARES_H

#include <stdbool.h>

struct oci_store;

/* What is known of another container; NULL: nothing that could be read. */
struct oci_store *pod_read_store(const char *root, const char *id);

/* True if `name` is one of the names in `list`; NULL is the empty list. */
bool pod_shares_have(const char *list, const char *name);

#endif
