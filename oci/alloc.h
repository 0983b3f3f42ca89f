/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alloc.h - memory that is there or ends the command.
 *
 * oci/ runs only in short-lived commands, where running out of memory has one answer: one line, exit status 1. The
 * agent's messages (nanopb) are freed with free(3), so everything here is plain malloc memory.
 */
#ifndef BULKHEAD_OCI_ALLOC_H
#define BULKHEAD_OCI_ALLOC_H

#include <stdarg.h>
#include <stddef.h>

/* `count` zeroed elements of `size` bytes; never NULL, also for nothing. */
void *oci_alloc(size_t count, size_t size);

/* NULL gives NULL. */
char *oci_strdup(const char *text);

char *oci_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Room for one more in an array that grows by doubling: returns the array, perhaps elsewhere. `count` elements are
 * in use; the new one is zeroed.
 */
void *oci_grow(void *items, size_t count, size_t size);

#endif
