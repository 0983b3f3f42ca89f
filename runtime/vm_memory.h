/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_memory.h - a running VM gets more memory, or gives some back (vmm/growth.h), for limits that change and for the
 * containers that join a pod. `dirfd` is a container's state directory, whose sockets lead to the VM.
 */
#ifndef BULKHEAD_RUNTIME_VM_MEMORY_H
#define BULKHEAD_RUNTIME_VM_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct vmm_growth;

/* All zero: the VM's monitor is of an older release, and it cannot change. */
int vm_memory_get(int dirfd, struct vmm_growth *growth, struct err *err);

/*
 * The VM is to have `bytes`; what it was made with stays. With `wait`, returns when the guest has taken or given back
 * all of it. A guest that does not take it is an error; one that keeps what it was to give back is a warning, since it
 * is a matter of what it can do without.
 */
int vm_memory_set(int dirfd, uint64_t bytes, bool wait, struct err *err);

#endif
