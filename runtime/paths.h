/* SPDX-License-Identifier: Apache-2.0 */
/*
 * paths.h - where the other programs and the guest's files are.
 *
 * In a build tree everything lies beside `bulkhead`; installed, programs are in LIBEXECDIR and the guest's files in
 * DATADIR. The monitor's place tells which of the two it is.
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

#endif
