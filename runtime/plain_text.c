/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/plain_text.h"

#include <stddef.h>
#include <stdint.h>

/* The bytes of the character that begins here, 0 if none does: RFC 3629, table 3-7 of the Unicode standard. */
static size_t character_length(const unsigned char *at)
{
	size_t length = at[0] >= 0xc2 && at[0] <= 0xdf   ? 2
			: at[0] >= 0xe0 && at[0] <= 0xef ? 3
			: at[0] >= 0xf0 && at[0] <= 0xf4 ? 4
							 : 0;

	for (size_t i = 1; i < length; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf0 && at[1] < 0x90) ||
	    (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return length;
}

void plain_text(char *text)
{
	unsigned char *at = (unsigned char *)text;

	while (*at) {
		size_t length = *at < 0x80 ? 1 : character_length(at);

		if (length == 0 || *at < 0x20 || *at == 0x7f) {
			*at++ = '?';
			continue;
		}
		if (length == 2 && at[0] == 0xc2 && at[1] < 0xa0)
			at[0] = at[1] = '?';
		at += length;
	}
}
