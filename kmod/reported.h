/* SPDX-License-Identifier: GPL-2.0 */
/*
 * reported.h - free memory that the host need not be told of.
 */
#ifndef BULKHEAD_REPORTED_H
#define BULKHEAD_REPORTED_H

/* Has the kernel take all memory that is free now, in blocks as large as it reports, for reported. */
void reported_mark_free(void);

#endif
