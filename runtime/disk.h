/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk.h - block devices of the host that a container is given (Device.disk in the description), opened for the
 * monitor.
 *
 * Not exclusively: as with a container without a VM, whoever gives a device away sees to it that nobody else uses it.
 */
#ifndef BULKHEAD_RUNTIME_DISK_H
#define BULKHEAD_RUNTIME_DISK_H

#include "agent.pb.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

struct disk {
	const char *id; /* the description's */
	int fd;
	uint64_t packed; /* struct vmm_disk */
};

bool disk_is_one(const agent_Device *device);

/* By its number on the host, which the description has until the guest puts in its own. */
int disk_open(const agent_Device *device, struct disk *out, struct err *err);

#endif
