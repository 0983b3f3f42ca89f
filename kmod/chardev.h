/* SPDX-License-Identifier: GPL-2.0 */
/*
 * chardev.h - /dev/bulkhead, the agent's way to the sandbox device (common/bulkhead_uapi.h).
 */
#ifndef BULKHEAD_CHARDEV_H
#define BULKHEAD_CHARDEV_H

int chardev_init(void);
void chardev_exit(void);

#endif
