/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.h - from an empty initramfs to a guest in which containers can be made, in two parts.
 *
 * boot_begin does what must be there before the host is told "ready": the file tree's root, /dev, the guest module.
 * boot_finish does the rest when the first container is asked for: by then the monitor has all it needs to go on.
 */
#ifndef BULKHEAD_AGENT_BOOT_H
#define BULKHEAD_AGENT_BOOT_H

#include <stdint.h>

struct agent;
struct err;

int boot_begin(struct agent *agent, struct err *err);

/* Does nothing the second time, but for setting the clock if it is off. `realtime_ns`: the host's, 0 if unknown. */
int boot_finish(struct agent *agent, int64_t realtime_ns, struct err *err);

#endif
