/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu.h - the vCPUs of a VM: a thread each, which runs the guest and answers its register accesses.
 *
 * All vCPUs are in one state:
 *
 *     running --pause--> paused --resume--> running        either --stop--> stopped (their threads have ended)
 *
 * vcpus_* are called by the main (loop) thread. The callbacks run on vCPU threads, several at once. One that returns
 * false ends its own vCPU for good: the guest sees no instruction after that access.
 */
#ifndef BULKHEAD_VCPU_H
#define BULKHEAD_VCPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VCPUS_MAX = 32 };

struct err;
struct kvm;
struct snapshot;
struct snapshot_writer;
struct vcpus;

struct vcpu_callbacks {
	/* `data` is to be filled for a read; `length` is 1 to 8. */
	bool (*mmio_accessed)(void *arg, uint64_t address, void *data, unsigned length, bool is_write);
	/* The same for I/O ports; `length` is 1, 2 or 4. */
	bool (*port_accessed)(void *arg, uint16_t port, void *data, unsigned length, bool is_write);
	/* The host had no page where the guest looked. True: it has now. NULL: it never will. */
	bool (*page_missing)(void *arg);
	/* A vCPU cannot go on: the guest shut its processor down (triple fault), or KVM gave up. `why` is one line. */
	void (*vcpu_ended)(void *arg, bool guest_did_it, const char *why);
	/* vcpus_end: no vCPU will run again. On the last one's thread, while whoever wanted it goes on. */
	void (*all_ended)(void *arg);
};

/*
 * Makes `count` vCPUs; number 0 is set to enter at `entry` as boot_params.h describes it, the others wait to be woken
 * by it.
 */
struct vcpus *vcpus_create(struct kvm *kvm, unsigned count, uint64_t entry, const struct vcpu_callbacks *callbacks,
			   void *arg, struct err *err);
void vcpus_destroy(struct vcpus *vcpus); /* stops them first; NULL is fine */

/*
 * Makes their threads, each of which first calls `confine` (NULL: nothing); if that fails, its vCPU ends. They are
 * paused: vcpus_resume lets them run.
 */
int vcpus_start(struct vcpus *vcpus, int (*confine)(struct err *err), struct err *err);

/*
 * Wants them to pause, without waiting for it; for a callback, which so has its own vCPU stop at that access.
 * vcpus_pause waits for it.
 */
void vcpus_hold(struct vcpus *vcpus);

/* When it returns, every vCPU is out of the guest. Fails if one does not come out in time; then they all run on. */
int vcpus_pause(struct vcpus *vcpus, struct err *err);
void vcpus_resume(struct vcpus *vcpus);
bool vcpus_are_paused(struct vcpus *vcpus);
void vcpus_stop(struct vcpus *vcpus);

/*
 * The last call: stops them and closes them as soon as they are out of the guest. It does not wait for their threads,
 * one of which calls all_ended and goes on using what that needs; the process is about to end.
 */
void vcpus_end(struct vcpus *vcpus);

/*
 * Pauses them, for good, and writes where each stands: for a guest that is given up. Returns the length as snprintf
 * does. Registers are in the log at debug level.
 */
size_t vcpus_describe(struct vcpus *vcpus, char *text, size_t size);

/*
 * To a snapshot, once they are paused, and from one, before they are started. vcpus_plan_save comes before both save
 * and start.
 */
int vcpus_plan_save(struct vcpus *vcpus, struct err *err);
int vcpus_save(struct vcpus *vcpus, struct snapshot_writer *writer, struct err *err);
int vcpus_restore(struct vcpus *vcpus, const struct snapshot *snapshot, struct err *err);

/* A number for what the guest is told of its processors: a snapshot belongs to one. */
uint64_t vcpus_processor(const struct vcpus *vcpus);

unsigned vcpus_count(const struct vcpus *vcpus);

/* Returns from KVM_RUN to this process so far. */
uint64_t vcpus_exits(struct vcpus *vcpus);

#endif
