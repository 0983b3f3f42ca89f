/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.h - the phases of a command on the monotonic clock, written in Chrome's trace format (--trace FILE).
 *
 * Every mark begins a phase that lasts until the next one. The marks of the monitor and the guest arrive with their own
 * times. Without --trace all of this does nothing.
 */
#ifndef BULKHEAD_RUNTIME_TRACE_H
#define BULKHEAD_RUNTIME_TRACE_H

#include <stdint.h>

struct err;

void trace_open(const char *file); /* NULL: no trace; the name must stay valid */

/* `name` is kept, not copied. */
void trace_mark(const char *name);
void trace_mark_at(const char *name, uint64_t monotonic_ns);

/* A moment of the VM's life (enum vmm_stamp); unknown ones are ignored. */
void trace_vmm_stamp(uint32_t stamp, uint64_t monotonic_ns);

/* Writes the file. Returns 0, or -1 with the error set. */
int trace_close(struct err *err);

#endif
