/* SPDX-License-Identifier: Apache-2.0 */
#include "common/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void set_text(struct err *err, const char *format, va_list args)
{
	if (vsnprintf(err->text, sizeof err->text, format, args) < 0)
		err->text[0] = '\0';
	/* Names of files and values of users are in it: none may break the line, or speak to the terminal. */
	for (char *c = err->text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
}

int err_set(struct err *err, int code, const char *format, ...)
{
	va_list args;

	err->code = code ? code : EIO;
	va_start(args, format);
	set_text(err, format, args);
	va_end(args);
	return -1;
}

int err_set_errno(struct err *err, const char *format, ...)
{
	int code = errno;
	va_list args;

	err->code = code ? code : EIO;
	va_start(args, format);
	set_text(err, format, args);
	va_end(args);
	size_t used = strlen(err->text);
	snprintf(err->text + used, sizeof err->text - used, ": %s", strerror(err->code));
	return -1;
}

int err_wrap(struct err *err, const char *format, ...)
{
	char inner[ERR_TEXT_MAX];
	va_list args;

	memcpy(inner, err->text, sizeof inner);
	if (err->code == 0)
		err->code = EIO;
	va_start(args, format);
	set_text(err, format, args);
	va_end(args);
	size_t used = strlen(err->text);
	snprintf(err->text + used, sizeof err->text - used, ": %.*s", (int)(sizeof inner - 1), inner);
	return -1;
}
