/* SPDX-License-Identifier: Apache-2.0 */
/* control_client.h - one request to the monitor of a container (vmm/vmm_api.h), with a time limit. */
#ifndef BULKHEAD_RUNTIME_CONTROL_CLIENT_H
#define BULKHEAD_RUNTIME_CONTROL_CLIENT_H

#include "vmm/vmm_api.h"

struct err;

/* `stats` may be NULL. */
int control_call(int dirfd, enum vmm_control_op op, struct vmm_stats *stats, struct err *err);

/* A network interface for the VM, served through these descriptors (vhost_fd -1: none), which stay the caller's too. */
int control_add_net(int dirfd, const char *name, const uint8_t mac[6], int tap_fd, int vhost_fd,
		    struct vmm_place *place, struct err *err);

#endif
