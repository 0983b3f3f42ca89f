/* SPDX-License-Identifier: Apache-2.0 */
/*
 * paths.h - where the other programs and the guest's files are.
 *
 * In a build tree everything lies beside `bulkhead`. Installed below any prefix, programs are in its libexec/bulkhead
 * and the guest's files in its share/bulkhead, which are found from PREFIX/bin/bulkhead; a package that puts them
 * elsewhere says so by LIBEXECDIR and DATADIR when it builds. The monitor's place tells which of the three it is.
 */
#ifndef BULKHEAD_RUNTIME_PATHS_H
#define BULKHEAD_RUNTIME_PATHS_H

#include <limits.h>

struct err;

struct paths {
	char proxy[PATH_MAX];
	char monitor[PATH_MAX];
	char kernel[PATH_MAX];
	char initrd[PATH_MAX];
	char cmdline[PATH_MAX]; /* a file with the kernel's parameters */
};

/* Only names; nothing is opened. */
int paths_find(struct paths *paths, struct err *err);

/* The same, for a `bulkhead` at the absolute path `program`. */
int paths_find_from(const char *program, struct paths *paths, struct err *err);

#endif
