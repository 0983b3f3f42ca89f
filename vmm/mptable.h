/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mptable.h - tells the guest its processors and interrupts, in place of ACPI (MultiProcessor Specification 1.4).
 *
 * One bus ("ISA") whose interrupt n is pin n of the one I/O APIC, edge triggered; processors with APIC ids 0 to
 * count - 1. It lies in the last KiB below 640 KiB, where kernels look. Pins that nobody uses are better left out: the
 * guest's kernel sets up each one it is told of, and every access to the I/O APIC is an exit.
 */
#ifndef BULKHEAD_MPTABLE_H
#define BULKHEAD_MPTABLE_H

#include <stdint.h>

struct guest_memory;

#define MPTABLE_ADDRESS 0x9fc00u
#define MPTABLE_SIZE 0x400u
#define MPTABLE_PINS 24u

/* `count` is at most VCPUS_MAX, for which the table has room; bit n of `pins` is set if pin n is used. */
void mptable_write(const struct guest_memory *memory, unsigned count, uint32_t pins);

#endif
