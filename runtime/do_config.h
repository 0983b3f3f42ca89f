/* SPDX-License-Identifier: Apache-2.0 */
/*
 * do_config.h - the config.json of `bulkhead do`: the host's root read-only under a writable layer that is thrown away,
 * this directory and environment, root with all capabilities (of the guest).
 */
#ifndef BULKHEAD_RUNTIME_DO_CONFIG_H
#define BULKHEAD_RUNTIME_DO_CONFIG_H

#include <stdbool.h>

struct err;

struct do_settings {
	char **args;
	int arg_count;
	const char *memory_mib; /* NULL: the host's default */
	const char *vcpus;
	bool terminal;
};

/* The document, malloc'ed; NULL with the error set. */
char *do_config_text(const struct do_settings *settings, struct err *err);

#endif
