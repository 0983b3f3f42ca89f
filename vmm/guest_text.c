/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/guest_text.h"

#include <stdio.h>
#include <string.h>

/* Length of the "[    1.234567] " that a kernel puts before its lines, 0 if there is none. */
static size_t time_stamp(const unsigned char *bytes, size_t length)
{
	size_t i = 1;

	if (!length || bytes[0] != '[')
		return 0;
	while (i < length && (bytes[i] == ' ' || bytes[i] == '.' || (bytes[i] >= '0' && bytes[i] <= '9')))
		i++;
	return length - i >= 2 && bytes[i] == ']' && bytes[i + 1] == ' ' ? i + 2 : 0;
}

/* Writes what stands for one byte; returns its length. */
static size_t escape_byte(unsigned char byte, char piece[8])
{
	if (byte == '\n')
		return (size_t)snprintf(piece, 8, " | ");
	if (byte == '\t')
		return (size_t)snprintf(piece, 8, " ");
	if (byte < 0x20 || byte >= 0x7f || byte == '\\')
		return (size_t)snprintf(piece, 8, "\\x%02x", byte);
	piece[0] = (char)byte;
	return 1;
}

size_t guest_text_escape(const void *text, size_t length, char *out, size_t size)
{
	const unsigned char *bytes = text;
	size_t used = 0;

	while (length && (bytes[length - 1] == '\n' || bytes[length - 1] == '\r' || bytes[length - 1] == '\0'))
		length--;
	for (size_t i = time_stamp(bytes, length); i < length; i++) {
		char piece[8];
		size_t n;

		if (bytes[i] == '\r')
			continue;
		n = escape_byte(bytes[i], piece);
		if (used + n >= size)
			break;
		memcpy(out + used, piece, n);
		used += n;
		if (bytes[i] == '\n')
			i += time_stamp(bytes + i + 1, length - i - 1);
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
