/* SPDX-License-Identifier: GPL-2.0 */
/*
 * sandbox.h - the registers of the sandbox device (common/sandbox_regs.h).
 *
 * sandbox_map comes first and succeeds once; the other functions may then be called from any context, NMI and panic
 * included: each does nothing but plain register writes.
 */
#ifndef BULKHEAD_SANDBOX_H
#define BULKHEAD_SANDBOX_H

#include <linux/types.h>

int sandbox_map(void);
void sandbox_unmap(void);

void sandbox_stamp(u32 stamp);

/* Shows the monitor the text at this guest physical address. It has been copied when this returns. */
void sandbox_show_text(phys_addr_t address, size_t length);

/* Shows the monitor where it may tell of a new identity. For good. */
void sandbox_show_identity(phys_addr_t address);

/* Does not return from a working device. */
void sandbox_power_off(u8 status, u8 reason);

#endif
