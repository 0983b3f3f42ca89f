/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec.h - the starting config.json that `bulkhead spec` writes.
 */
#ifndef BULKHEAD_OCI_SPEC_H
#define BULKHEAD_OCI_SPEC_H

#include <stdbool.h>

/* Indented JSON, malloc'ed. With `rootless`: a user namespace that maps root to the calling user. */
char *oci_spec_text(bool rootless);

#endif
