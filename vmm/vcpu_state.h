/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu_state.h - everything KVM knows of one vCPU, to a snapshot and back.
 *
 * The vCPU is out of the guest, and nobody else uses its descriptor.
 */
#ifndef BULKHEAD_VCPU_STATE_H
#define BULKHEAD_VCPU_STATE_H

#include "vmm/snapshot.h"

#include <stddef.h>

struct err;
struct kvm_msr_entry;

/* What there is to save, found out while /dev/kvm is at hand. */
struct vcpu_state_plan {
	size_t xsave_size;
	struct kvm_msr_entry *msrs; /* with the values of a vCPU that never ran: those are not saved */
	size_t msr_count;
};

/* `fd` is a vCPU that has not run yet. Free plan->msrs. */
int vcpu_state_plan(struct vcpu_state_plan *plan, int kvm_fd, int vm_fd, int fd, struct err *err);

int vcpu_state_save(const struct vcpu_state_plan *plan, int fd, unsigned index, struct snapshot_writer *writer,
		    struct err *err);

/*
 * Into a new vCPU that has its CPUID; `first_fd` is vCPU 0, restored before the others. Failed half-way, it is of no
 * use any more.
 */
int vcpu_state_restore(int vm_fd, int fd, int first_fd, unsigned index, const struct snapshot *snapshot,
		       struct err *err);

#endif
