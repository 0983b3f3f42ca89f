/* SPDX-License-Identifier: Apache-2.0 */
/* vm_device.h - the guest is told of a device that the monitor has added, or is about to take away. */
#ifndef BULKHEAD_RUNTIME_VM_DEVICE_H
#define BULKHEAD_RUNTIME_VM_DEVICE_H

#include <stdbool.h>

struct err;
struct vmm_place;

/* The guest's driver has looked at it when this returns. `memory`: it is one of memory. */
int vm_device_add(int dirfd, const struct vmm_place *place, bool memory, struct err *err);

/* Its driver has let go of it. For a device that is on its way out, in a guest that may be: a short time limit. */
int vm_device_remove(int dirfd, const struct vmm_place *place, struct err *err);

#endif
