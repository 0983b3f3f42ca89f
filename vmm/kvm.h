/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm.h - one virtual machine of /dev/kvm: its memory slots, interrupts and notifications.
 *
 * Owns the VM's fd; the fd of /dev/kvm stays the caller's. Created on the main thread before any vCPU runs;
 * kvm_interrupt_fd and the ioctls behind the fds it hands out may then be used by any thread.
 */
#ifndef BULKHEAD_KVM_H
#define BULKHEAD_KVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct guest_memory;
struct snapshot;
struct snapshot_writer;

struct kvm {
	int fd;          /* /dev/kvm, not owned */
	int vm_fd;       /* -1: none */
	size_t run_size; /* of the area each vCPU shares with the kernel */
};

/* Checks version and capabilities, makes a VM with interrupt controllers in the kernel and no timer chip. */
int kvm_create(struct kvm *kvm, int kvm_fd, struct err *err);
void kvm_destroy(struct kvm *kvm); /* also half built */

/* Makes all of `memory` the guest's. Call it when the images are mapped: each mapping after that costs a flush. */
int kvm_set_memory(struct kvm *kvm, const struct guest_memory *memory, struct err *err);

/*
 * Makes `size` bytes at `host` the guest's as well, at `address`, where nothing is yet; `n` counts such pieces from 0
 * up, to KVM_LATER_MAX - 1. The guest may run.
 */
#define KVM_LATER_MAX 64u
int kvm_add_memory(struct kvm *kvm, unsigned n, uint64_t address, uint64_t size, const void *host, struct err *err);

/* A new eventfd; each write to it raises interrupt `gsi` (an edge). -1 with the error set. */
int kvm_interrupt_fd(struct kvm *kvm, unsigned gsi, struct err *err);

/* A new eventfd that gets a count when the guest writes the 32 bits `value` at `address`, without leaving the kernel.
 */
int kvm_doorbell_fd(struct kvm *kvm, uint64_t address, uint32_t value, struct err *err);

/*
 * Raises interrupt `gsi` (an edge) at once, on the caller's thread: a write to kvm_interrupt_fd goes by a thread of the
 * kernel. The pin stays high, so it must not have a kvm_interrupt_fd in use as well. Any number of threads.
 */
void kvm_pulse_interrupt(const struct kvm *kvm, unsigned gsi);

/*
 * A new eventfd for 32-bit writes of any value at `address`, whose counts nobody needs: they end in the kernel. -1 with
 * the error set.
 */
int kvm_sink_fd(struct kvm *kvm, uint64_t address, struct err *err);

/*
 * Shows the guest `pages` (aligned, of whole pages) at `address`: it reads there without an exit, and writes as where
 * there is no memory. Each kind once. False: this host's kernel cannot.
 */
enum kvm_shown { KVM_SHOWN_REGISTERS, KVM_SHOWN_FILES };
bool kvm_show_pages(struct kvm *kvm, enum kvm_shown kind, uint64_t address, const void *pages, size_t size);

/*
 * Interrupt controllers, and the guest's clock, which goes on from where it was: before its vCPUs are restored.
 * kvm_state.c
 */
int kvm_save(const struct kvm *kvm, struct snapshot_writer *writer, struct err *err);
int kvm_restore(const struct kvm *kvm, const struct snapshot *snapshot, struct err *err);

#endif
