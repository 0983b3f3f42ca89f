/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_list.h - lists of numbers as the kernel writes CPUs and memory nodes: "0-3,7".
 */
#ifndef BULKHEAD_OCI_CPU_LIST_H
#define BULKHEAD_OCI_CPU_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OCI_CPU_MAX = 8191 }; /* the most a Linux kernel is built for */

/* False if `text` is no such list. *out is malloc'ed, sorted, without duplicates; an empty text is an empty list. */
bool oci_cpu_list_parse(const char *text, uint32_t **out, size_t *count);

#endif
