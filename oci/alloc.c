/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/alloc.h"

#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *check(void *memory)
{
	if (!memory) {
		log_error("out of memory");
		exit(EXIT_FAILURE);
	}
	return memory;
}

void *oci_alloc(size_t count, size_t size)
{
	return check(calloc(count ? count : 1, size ? size : 1));
}

char *oci_strdup(const char *text)
{
	return text ? check(strdup(text)) : NULL;
}

char *oci_format(const char *format, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	return check(text);
}

void *oci_grow(void *items, size_t count, size_t size)
{
	/* Full at 0 and at every power of two. */
	if ((count & (count - 1)) == 0)
		items = check(reallocarray(items, count ? count * 2 : 1, size));
	memset((char *)items + count * size, 0, size);
	return items;
}
