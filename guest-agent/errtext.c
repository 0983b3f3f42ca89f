/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/errtext.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *errtext(int code, char out[ERRTEXT_MAX])
{
	/* Those that matter, and for which this C library has other words than most. */
	static const struct {
		int code;
		const char *text;
	} usual[] = {
		{ ELOOP, "too many levels of symbolic links" },
		{ EBUSY, "device or resource busy" },
		{ EOVERFLOW, "value too large for defined data type" },
	};
	const char *text = strerror(code);

	for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
		if (usual[i].code == code)
			text = usual[i].text;
	snprintf(out, ERRTEXT_MAX, "%s", text);
	/* "RPC program not available" stays as it is. */
	if (isupper((unsigned char)out[0]) && islower((unsigned char)out[1]))
		out[0] = (char)tolower((unsigned char)out[0]);
	return out;
}

int errtext_set(struct err *err, const char *format, ...)
{
	int code = errno ? errno : EIO;
	char text[ERR_TEXT_MAX];
	char words[ERRTEXT_MAX];
	va_list args;

	va_start(args, format);
	if (vsnprintf(text, sizeof text, format, args) < 0)
		text[0] = '\0';
	va_end(args);
	return err_set(err, code, "%.*s: %s", (int)(ERR_TEXT_MAX - ERRTEXT_MAX), text, errtext(code, words));
}
