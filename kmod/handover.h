/* SPDX-License-Identifier: GPL-2.0 */
/*
 * handover.h - how the VM ends: an ordinary power-off, the agent giving up, a kernel panic.
 *
 * In each case the monitor gets a status and a reason, and for the last two a text for the user. After handover_init
 * the kernel's own power-off and panic lead here.
 */
#ifndef BULKHEAD_HANDOVER_H
#define BULKHEAD_HANDOVER_H

#include <linux/types.h>

int handover_init(void);
void handover_exit(void);

/* The status that goes with the next ordinary power-off. */
void handover_set_status(u8 status);

/* Ends the VM now. `text` has `length` bytes, at most SANDBOX_PANIC_MAX; NULL with 0 for none. */
void handover_power_off(u8 status, u8 reason, const char *text, size_t length);

#endif
