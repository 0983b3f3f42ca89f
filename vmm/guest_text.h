/* SPDX-License-Identifier: Apache-2.0 */
/* guest_text.h - turns what a guest wrote into one line that is safe to print. */
#ifndef BULKHEAD_GUEST_TEXT_H
#define BULKHEAD_GUEST_TEXT_H

#include <stddef.h>

/*
 * Printable ASCII stays, the end of a line becomes " | ", a tabulator a space, anything else \xNN; carriage returns and
 * the kernel's time stamps at the beginning of lines go. Always terminates (`size` is not 0) and cuts what does not
 * fit. Returns the length.
 */
size_t guest_text_escape(const void *text, size_t length, char *out, size_t size);

/* Where in a kernel's last words the trouble begins ("BUG:", "Oops", "Kernel panic"); `length` if nowhere. */
size_t guest_text_find_panic(const void *text, size_t length);

#endif
