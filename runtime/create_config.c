/* SPDX-License-Identifier: Apache-2.0 */
/* create_config.c - reading the configuration a container is made from, and keeping what was read. */
#include "runtime/create.h"

#include "common/auto.h"
#include "common/err.h"

#include "oci/alloc.h"
#include "oci/config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_MAX = 16 << 20 };

static char *read_text(const char *file, struct err *err)
{
	auto_file FILE *in = fopen(file, "re");
	auto_free char *text = NULL;
	size_t used = 0, size = 0;

	while (in && used <= CONFIG_MAX) {
		if (used + 1 >= size) {
			size = size * 2 + 64 * 1024;
			char *grown = realloc(text, size);

			if (!grown) {
				err_set(err, ENOMEM, "out of memory");
				return NULL;
			}
			text = grown;
		}
		size_t n = fread(text + used, 1, size - used - 1, in);
		used += n;
		if (n == 0 && !ferror(in)) {
			text[used] = '\0';
			return take_ptr(&text);
		}
		if (n == 0)
			break;
	}
	if (used > CONFIG_MAX)
		err_set(err, EFBIG, "%s: larger than %d MiB", file, CONFIG_MAX >> 20);
	else
		err_set_errno(err, "%s", file);
	return NULL;
}

int create_load_config(const struct create_options *options, struct oci_config **config, char **text, struct err *err)
{
	const char *bundle = options->bundle ? options->bundle : ".";
	char absolute[PATH_MAX];

	if (!realpath(bundle, absolute))
		return err_set_errno(err, "bundle %s", bundle);
	auto_free char *file = options->config ? oci_strdup(options->config) : oci_format("%s/config.json", absolute);
	*text = read_text(file, err);
	if (!*text)
		return -1;
	if (oci_config_parse(absolute, *text, strlen(*text), config, err) < 0)
		return err_wrap(err, "bundle %s", absolute);
	return 0;
}
