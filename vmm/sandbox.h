/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox.h - the monitor's side of the sandbox device (registers: common/sandbox_regs.h).
 *
 * vCPU threads bring register accesses; what they mean for the VM is noted under the lock, and `notice_fd`, an eventfd
 * of the caller's, tells the loop thread to look. Nothing the guest writes can do more than that: a stamp is noted
 * once, a panic text is copied into a fixed place, a power-off ends this VM.
 */
#ifndef BULKHEAD_SANDBOX_H
#define BULKHEAD_SANDBOX_H

#include "common/sandbox_regs.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct guest_memory;

struct sandbox {
	const struct guest_memory *memory;
	int notice_fd; /* not owned; -1: nobody is to be told */
	pthread_mutex_t lock;
	uint64_t stamps[SANDBOX_STAMP_COUNT]; /* CLOCK_MONOTONIC, nanoseconds; 0: not yet */
	uint64_t panic_address;
	uint64_t identity_address; /* inside memory, or 0 */
	uint32_t identity_low;
	char panic_text[SANDBOX_PANIC_MAX]; /* raw */
	size_t panic_length;
	bool is_off;
	uint8_t off_status, off_reason;
	unsigned long refused;
};

/* `notice_fd` is the caller's to set, before vCPUs run. */
void sandbox_init(struct sandbox *sandbox, const struct guest_memory *memory);
void sandbox_destroy(struct sandbox *sandbox);

/* `offset` is inside the page; accesses that are not 4 bytes wide and aligned read as 0 and write nothing. */
void sandbox_read(struct sandbox *sandbox, uint32_t offset, void *data, unsigned length);

/* False: the guest powered off, it must not run on. */
bool sandbox_write(struct sandbox *sandbox, uint32_t offset, const void *data, unsigned length);

/* When the stamp was given, 0 if it was not. */
uint64_t sandbox_stamp(struct sandbox *sandbox, enum sandbox_stamp stamp);

/* Copies the panic text; returns its length, 0 if there is none. */
size_t sandbox_panic(struct sandbox *sandbox, char out[SANDBOX_PANIC_MAX]);

/* Has the guest powered off? Then with which status and reason (checked to be one of the enum). */
bool sandbox_is_off(struct sandbox *sandbox, uint8_t *status, uint8_t *reason);

struct sandbox_saved {
	uint64_t identity_address;
};

void sandbox_save(struct sandbox *sandbox, struct sandbox_saved *out);

/* A guest that is as far as its agent's readiness; it has given no stamp in this life. */
int sandbox_restore(struct sandbox *sandbox, const struct sandbox_saved *saved, struct err *err);

/* Tells the guest that it is a new one, and what time it is: entropy and a generation of its own. No vCPU runs. */
int sandbox_renew(struct sandbox *sandbox, struct err *err);

#endif
