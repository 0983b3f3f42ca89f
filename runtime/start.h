/* SPDX-License-Identifier: Apache-2.0 */
/* start.h - from created to running: what `start` and `run` have in common. */
#ifndef BULKHEAD_RUNTIME_START_H
#define BULKHEAD_RUNTIME_START_H

struct container;
struct err;

/*
 * Lets the process exec, runs the poststart hooks, records it. If the hooks fail the container is stopped, as runc does
 * it; then, as after any failure, it is for the caller to delete it.
 */
int start_container(struct container *container, struct err *err);

#endif
