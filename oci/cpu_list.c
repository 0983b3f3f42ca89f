/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/cpu_list.h"

#include "oci/alloc.h"

#include <ctype.h>
#include <stdlib.h>

/* Digits only: strtoul's signs and white space are not part of the form. */
static bool parse_number(const char **text, unsigned *out)
{
	unsigned value = 0;

	if (!isdigit((unsigned char)**text))
		return false;
	while (isdigit((unsigned char)**text)) {
		value = value * 10 + (unsigned)(*(*text)++ - '0');
		if (value > OCI_CPU_MAX)
			return false;
	}
	*out = value;
	return true;
}

bool oci_cpu_list_parse(const char *text, uint32_t **out, size_t *count)
{
	bool member[OCI_CPU_MAX + 1] = { false };
	size_t n = 0;

	while (*text && *text != '\n') {
		unsigned first, last;

		if (!parse_number(&text, &first))
			return false;
		last = first;
		if (*text == '-') {
			text++;
			if (!parse_number(&text, &last) || last < first)
				return false;
		}
		for (unsigned i = first; i <= last; i++)
			member[i] = true;
		if (*text == ',')
			text++;
		else if (*text && *text != '\n')
			return false;
	}
	uint32_t *list = NULL;
	for (uint32_t i = 0; i <= OCI_CPU_MAX; i++) {
		if (member[i]) {
			list = oci_grow(list, n, sizeof *list);
			list[n++] = i;
		}
	}
	*out = list;
	*count = n;
	return true;
}
