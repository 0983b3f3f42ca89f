/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/guest_text.h"

#include <stdio.h>
#include <string.h>

size_t guest_text_escape(const void *text, size_t length, char *out, size_t size)
{
	const unsigned char *bytes = text;
	size_t used = 0;

	while (length && (bytes[length - 1] == '\n' || bytes[length - 1] == '\r' || bytes[length - 1] == '\0'))
		length--;
	for (size_t i = 0; i < length; i++) {
		char piece[8];
		size_t n;

		if (bytes[i] == '\r')
			continue;
		if (bytes[i] == '\n')
			n = (size_t)snprintf(piece, sizeof piece, " | ");
		else if (bytes[i] == '\t')
			n = (size_t)snprintf(piece, sizeof piece, " ");
		else if (bytes[i] < 0x20 || bytes[i] >= 0x7f || bytes[i] == '\\')
			n = (size_t)snprintf(piece, sizeof piece, "\\x%02x", bytes[i]);
		else
			n = (size_t)snprintf(piece, sizeof piece, "%c", bytes[i]);
		if (used + n >= size)
			break;
		memcpy(out + used, piece, n);
		used += n;
	}
	out[used] = '\0';
	return used;
}

size_t guest_text_find_panic(const void *text, size_t length)
{
	static const char *const signs[] = { "BUG: ", "Oops: ", "general protection fault", "Kernel panic" };
	size_t first = length;

	for (unsigned i = 0; i < sizeof signs / sizeof *signs; i++) {
		const char *at = memmem(text, first, signs[i], strlen(signs[i]));

		if (at)
			first = (size_t)(at - (const char *)text);
	}
	return first;
}
