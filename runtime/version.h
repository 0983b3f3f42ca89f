/* SPDX-License-Identifier: Apache-2.0 */
/* version.h - which build this is. The Makefile tells version.c alone, so that a new commit rebuilds only that. */
#ifndef BULKHEAD_RUNTIME_VERSION_H
#define BULKHEAD_RUNTIME_VERSION_H

extern const char version_text[];
extern const char version_commit[];

#endif
