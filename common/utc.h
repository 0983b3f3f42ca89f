/* SPDX-License-Identifier: Apache-2.0 */
/* utc.h - a moment as RFC 3339 writes it. */
#ifndef BULKHEAD_UTC_H
#define BULKHEAD_UTC_H

#include <stdint.h>

enum { UTC_TEXT_SIZE = 48 };

/*
 * "2026-11-28T18:15:00", for seconds since 1970, also negative ones; years of four digits. Not by gmtime_r: with the
 * first call libc reads the time zone's file, which is work, and to a proxy that is the container's by then: a fifo it
 * would wait at, or whatever a parser of libc's makes of it. Any thread.
 */
void utc_text(int64_t seconds, char out[UTC_TEXT_SIZE]);

#endif
