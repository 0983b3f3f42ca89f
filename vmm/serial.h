/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serial.h - enough of a 16550 for `earlyprintk=serial`: characters go out, nothing comes in, no interrupts.
 *
 * Whole lines go to the log as guest text, a bounded number a second. The last bytes are kept whatever happens to the
 * lines, so that a kernel that dies before our module is there still has told its reason. Any vCPU thread may call.
 */
#ifndef BULKHEAD_SERIAL_H
#define BULKHEAD_SERIAL_H

#include "common/log.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERIAL_PORT 0x3f8u
#define SERIAL_PORTS 8u

enum { SERIAL_TAIL_SIZE = 2048, SERIAL_LINE_SIZE = 256 };

struct serial {
	pthread_mutex_t lock;
	uint8_t line_control; /* its top bit makes the first two ports the divisor's */
	char line[SERIAL_LINE_SIZE];
	size_t line_length;
	char tail[SERIAL_TAIL_SIZE]; /* a circle */
	size_t total;                /* of all characters ever */
	struct log_limit limit;
};

void serial_init(struct serial *serial);
void serial_destroy(struct serial *serial);

uint8_t serial_read(struct serial *serial, unsigned offset);
void serial_write(struct serial *serial, unsigned offset, uint8_t value);

/* Copies the last characters, oldest first; returns how many. */
size_t serial_tail(struct serial *serial, char out[SERIAL_TAIL_SIZE]);

#endif
