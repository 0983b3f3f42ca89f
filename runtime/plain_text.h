/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plain_text.h - text that a guest, or a monitor that it took over, wants a person to read: one line of UTF-8 without
 * anything that a terminal obeys. Pure functions.
 */
#ifndef BULKHEAD_RUNTIME_PLAIN_TEXT_H
#define BULKHEAD_RUNTIME_PLAIN_TEXT_H

/* In place: control characters, those of C1 included (0x9b begins commands, too), and bytes that are no UTF-8 become
 * '?'. */
void plain_text(char *text);

#endif
