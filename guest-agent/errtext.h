/* SPDX-License-Identifier: Apache-2.0 */
/*
 * errtext.h - errors whose text engines match on.
 *
 * Docker and Podman look for "no such file or directory", "permission denied", "is a directory", "not a directory" in a
 * runtime's words, in lower case, as Go writes them. The C library begins them with a capital.
 */
#ifndef BULKHEAD_AGENT_ERRTEXT_H
#define BULKHEAD_AGENT_ERRTEXT_H

#include "common/err.h"

#include <stddef.h>

enum { ERRTEXT_MAX = 64 };

/* The words for an errno value, in lower case, in `out`; returns `out`. */
const char *errtext(int code, char out[ERRTEXT_MAX]);

/* err_set_errno with those words. */
int errtext_set(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
