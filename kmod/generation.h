/* SPDX-License-Identifier: GPL-2.0 */
/*
 * generation.h - /dev/bulkhead-generation: tells programs that they are copies (common/bulkhead_uapi.h).
 */
#ifndef BULKHEAD_GENERATION_H
#define BULKHEAD_GENERATION_H

#include <linux/types.h>

int generation_init(void);
void generation_exit(void);

/* The one that the monitor gave last. A new one wakes those who wait. Called in any order, from process context. */
void generation_set(u64 generation);

#endif
