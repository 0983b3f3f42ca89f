/* SPDX-License-Identifier: GPL-2.0 */
/*
 * hotplug.h - virtio-mmio devices that come and go while the guest runs.
 */
#ifndef BULKHEAD_HOTPLUG_H
#define BULKHEAD_HOTPLUG_H

#include <linux/types.h>

/* The driver has seen it when this returns. -EEXIST if there is one at that address already. */
int hotplug_add(u64 address, u32 irq);
int hotplug_remove(u64 address);

void hotplug_exit(void);

#endif
