/* SPDX-License-Identifier: GPL-2.0 */
/*
 * identity.h - whether this guest is still the one that booted (common/sandbox_regs.h, SANDBOX_REG_IDENTITY_LOW).
 */
#ifndef BULKHEAD_IDENTITY_H
#define BULKHEAD_IDENTITY_H

struct bulkhead_identity;

int identity_init(void);
void identity_exit(void);

/*
 * What the monitor has filled in last. The entropy goes to one caller only, after which it is gone here; it is mixed into
 * the kernel's pool on the way.
 */
void identity_take(struct bulkhead_identity *out);

#endif
