/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpuid.h - what a vCPU says it is: the host's processor as far as KVM supports it, in a topology of our own.
 *
 * The topology is one socket of `count` cores without siblings, APIC ids 0 to count - 1. Nested virtualisation and the
 * performance counters are taken out: nothing in a container needs them, and each is a way deeper into the host.
 */
#ifndef BULKHEAD_CPUID_H
#define BULKHEAD_CPUID_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct kvm_cpuid2;

/* What KVM supports, with room for what cpuid_tailor adds; free() it. NULL with the error set. */
struct kvm_cpuid2 *cpuid_supported(int kvm_fd, struct err *err);

/* Once for each VM: the parts that are the same for all vCPUs. */
void cpuid_tailor(struct kvm_cpuid2 *cpuid, unsigned count, bool has_tsc_deadline);

/* Whether this host's KVM cannot offer XSAVE to a guest though it says so; then hide it. */
bool cpuid_host_loses_xcr0(void);
void cpuid_hide_xsave(struct kvm_cpuid2 *cpuid);

/* How many bits a guest's physical address may have on this processor. */
unsigned cpuid_address_bits(void);

/* For each vCPU, before it is given to that vCPU: the parts that hold its APIC id. */
void cpuid_set_index(struct kvm_cpuid2 *cpuid, unsigned index);

#endif
