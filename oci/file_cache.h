/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_cache.h - how long a guest goes by what it knows of files: annotation io.bulkhead.file-cache.
 *
 * none: not at all. auto, the default: for a second. always: for good, and it writes back late; for shares that nothing
 * else changes. docs/files.md.
 */
#ifndef BULKHEAD_OCI_FILE_CACHE_H
#define BULKHEAD_OCI_FILE_CACHE_H

struct err;
struct oci_config;

#define OCI_ANNOTATION_FILE_CACHE "io.bulkhead.file-cache"

/* *out: "none", "auto" or "always", a constant. 0, or -1 if the annotation says something else. */
int oci_file_cache(const struct oci_config *config, const char **out, struct err *err);

#endif
