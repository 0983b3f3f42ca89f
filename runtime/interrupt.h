/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interrupt.h - SIGINT, SIGTERM, SIGHUP and SIGQUIT as an fd, for commands that have to clean up first.
 *
 * From interrupt_catch on they no longer end this process; whoever waits for something polls the fd too.
 */
#ifndef BULKHEAD_RUNTIME_INTERRUPT_H
#define BULKHEAD_RUNTIME_INTERRUPT_H

struct err;

int interrupt_catch(struct err *err);

/* Readable once a signal came; -1 before interrupt_catch. It is never read from, so it stays readable. */
int interrupt_fd(void);

/* Sets the error "interrupted" with EINTR. Returns -1. */
int interrupt_error(struct err *err);

#endif
