/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pump.h - bytes from one descriptor to another, through a bounded buffer, neither lost nor piled up.
 *
 * While the sink does not take more, the source is not read, so whoever writes into it stops. The pump owns both
 * descriptors and ends by itself, calling `ended` once: at the end of file of the source, after the last byte was
 * written, or as soon as the sink has gone. It closes nothing before pump_destroy.
 */
#ifndef BULKHEAD_AGENT_PUMP_H
#define BULKHEAD_AGENT_PUMP_H

#include <stdbool.h>
#include <stddef.h>

struct loop;
struct pump;

/* `ended` may destroy the pump. */
typedef void pump_ended(void *arg);

/*
 * Takes both descriptors, also when it fails; they are set to not block. A terminal's master counts as ended when no
 * process has the other side open. NULL when out of memory or descriptors.
 */
struct pump *pump_create(struct loop *loop, int source, int sink, pump_ended *ended, void *arg);
void pump_destroy(struct pump *pump); /* NULL is fine */

/*
 * For a checkpoint. pump_settle moves what can be moved now, and may end the pump. A suspended one does nothing,
 * whatever happens to its descriptors, and keeps what it holds; either of them can be replaced then (the old one is
 * closed).
 */
bool pump_settle(struct pump *pump); /* true: there was something to do, and there may be more */
void pump_suspend(struct pump *pump);
void pump_resume(struct pump *pump); /* may end it */
void pump_set_source(struct pump *pump, int fd);
void pump_set_sink(struct pump *pump, int fd);
int pump_sink(const struct pump *pump);

/*
 * The process whose bytes these are has ended: what is in the source now is the rest; some other process may hold the
 * source open and go on writing. `hidden` is how much more than FIONREAD tells may be there (a terminal has such
 * places). May call `ended` before it returns.
 */
void pump_drain(struct pump *pump, size_t hidden);

#endif
