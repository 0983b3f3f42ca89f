/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a vCPU is brought out of the guest: the wanted state is stored, then its thread gets KICK_SIGNAL, whose handler
 * sets immediate_exit. Whether the signal comes before, in or after KVM_RUN, the next KVM_RUN completes what the last
 * exit began and returns EINTR, and only then does the thread look at the wanted state.
 */
#include "vmm/vcpu.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "vmm/boot_params.h"
#include "vmm/cpuid.h"
#include "vmm/kvm.h"
#include "vmm/snapshot.h"
#include "vmm/vcpu_state.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#define KICK_SIGNAL SIGUSR1

enum { STACK_SIZE = 128 << 10, PAUSE_SECONDS = 5 };
enum { MSR_TSC = 0x10, MSR_MISC_ENABLE = 0x1a0, MSR_MTRR_DEFAULT = 0x2ff };

enum wanted { WANT_RUN, WANT_PAUSE, WANT_STOP };

struct vcpu {
	struct vcpus *all;
	unsigned index;
	int fd;
	struct kvm_run *run; /* shared with KVM; touched by this vCPU's thread and its signal handler only */
	pthread_t thread;
	bool has_thread;
	bool is_out; /* of the guest, waiting or ended; under all->lock */
	atomic_ulong exits;
	unsigned missed; /* pages, one after the other; its own thread's */
	uint64_t rip;    /* this and the next: for vcpus_describe, under all->lock */
	bool takes_interrupts;
};

struct vcpus {
	struct kvm *kvm;
	const struct vcpu_callbacks *callbacks;
	void *arg;
	unsigned count;
	_Atomic(enum wanted) wanted; /* written under lock */
	int (*confine)(struct err *err);
	struct vcpu_state_plan plan; /* for a VM that is to be saved */
	uint64_t processor;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* wanted, or a vCPU's is_out */
	unsigned ended;         /* threads that were told to stop and did; under lock */
	bool is_last_stop;      /* vcpus_end; under lock */
	bool describes;         /* a vCPU that leaves for a pause says where it stands; under lock */
	struct vcpu vcpus[VCPUS_MAX];
};

static __thread struct kvm_run *this_run;

static void leave_guest(int signal)
{
	(void)signal;
	if (this_run)
		this_run->immediate_exit = 1;
}

/* --- making ------------------------------------------------------------------------------------------------ */

static bool set_msr(struct vcpu *vcpu, uint32_t index, uint64_t value)
{
	const struct kvm_msr_entry entry = { .index = index, .data = value };
	_Alignas(struct kvm_msrs) uint8_t buffer[sizeof(struct kvm_msrs) + sizeof entry];
	struct kvm_msrs *msrs = (void *)buffer;

	*msrs = (struct kvm_msrs){ .nmsrs = 1 };
	memcpy(msrs->entries, &entry, sizeof entry);
	return ioctl(vcpu->fd, KVM_SET_MSRS, msrs) == 1;
}

/* What firmware would have set; the kernel switches fast strings off for an Intel processor that has this bit clear. */
static void set_msrs(struct vcpu *vcpu)
{
	if (!set_msr(vcpu, MSR_MTRR_DEFAULT, 1 << 11 | 6)) /* enabled, write-back */
		log_debug("vCPU %u: KVM takes no memory type", vcpu->index);
	set_msr(vcpu, MSR_MISC_ENABLE, 1); /* fast strings; Intel only */
}

/*
 * KVM gives a vCPU the time stamp counter's rate as it knew it when its module was loaded, unless the processor says
 * that it is constant. Where the kernel has measured it better since, and finds it quicker by more than 250 ppm, KVM
 * would have to slow the guest's counter down. If the processor can't, it fails, but goes on with a counter that stands
 * still in its own reckoning, while the guest reads the host's: a guest's timers are late by the host's age then. (In
 * our test host that was one boot in some dozens, and every VM of it.) The guest gets the rate that there is.
 */
static void set_tsc_rates(struct vcpus *all)
{
	bool changed[VCPUS_MAX] = { false };

	for (unsigned i = 0; i < all->count; i++) {
		int before = ioctl(all->vcpus[i].fd, KVM_GET_TSC_KHZ, 0);

		if (ioctl(all->vcpus[i].fd, KVM_SET_TSC_KHZ, 0))
			log_warn("vCPU %u: KVM does not give it the host's TSC rate; its timers may be late", i);
		changed[i] = ioctl(all->vcpus[i].fd, KVM_GET_TSC_KHZ, 0) != before;
	}
	/* What KVM reckoned with the old rate: afterwards for all, so that it sees them in step. */
	for (unsigned i = 0; i < all->count; i++)
		if (changed[i])
			set_msr(&all->vcpus[i], MSR_TSC, 0);
}

/* 64-bit mode with the tables of boot_params.h, interrupts off, the zero page's address in RSI. */
static int set_entry(struct vcpu *vcpu, uint64_t entry, struct err *err)
{
	const struct kvm_segment code = {
		.limit = 0xffffffff, .selector = BOOT_CODE_SELECTOR, .type = 11, .present = 1, .l = 1, .s = 1, .g = 1
	};
	const struct kvm_segment data = {
		.limit = 0xffffffff, .selector = BOOT_DATA_SELECTOR, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1
	};
	const struct kvm_segment task = { .limit = 0x67, .type = 11, .present = 1 };
	struct kvm_regs regs = { .rip = entry, .rsi = BOOT_PARAMS, .rflags = 2 };
	struct kvm_sregs sregs;

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs))
		return err_set_errno(err, "KVM does not show the system registers");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.tr = task;
	sregs.gdt.base = BOOT_GDT;
	sregs.gdt.limit = BOOT_GDT_SIZE - 1;
	sregs.idt.limit = 0;
	sregs.cr0 = 0x80000011; /* paging, protected mode; the extension bit is always set */
	sregs.cr3 = BOOT_PML4;
	sregs.cr4 = 0x20;   /* physical address extension */
	sregs.efer = 0x500; /* long mode, enabled and active */
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) || ioctl(vcpu->fd, KVM_SET_REGS, &regs))
		return err_set_errno(err, "KVM refuses the registers of the kernel's entry");
	return 0;
}

static int create_one(struct vcpus *all, unsigned index, struct kvm_cpuid2 *cpuid, struct err *err)
{
	struct vcpu *vcpu = &all->vcpus[index];

	vcpu->fd = ioctl(all->kvm->vm_fd, KVM_CREATE_VCPU, (unsigned long)index);
	if (vcpu->fd < 0)
		return err_set_errno(err, "KVM cannot make vCPU %u", index);
	vcpu->run = mmap(NULL, all->kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		vcpu->run = NULL;
		return err_set_errno(err, "cannot map vCPU %u", index);
	}
	cpuid_set_index(cpuid, index);
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid))
		return err_set_errno(err, "KVM refuses the processor description of vCPU %u", index);
	set_msrs(vcpu);
	return 0;
}

struct vcpus *vcpus_create(struct kvm *kvm, unsigned count, uint64_t entry, const struct vcpu_callbacks *callbacks,
			   void *arg, struct err *err)
{
	auto_free struct kvm_cpuid2 *cpuid = cpuid_supported(kvm->fd, err);
	struct vcpus *all = cpuid ? calloc(1, sizeof *all) : NULL;

	if (!all) {
		if (cpuid)
			err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	all->kvm = kvm;
	all->callbacks = callbacks;
	all->arg = arg;
	all->count = count;
	pthread_mutex_init(&all->lock, NULL);

	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&all->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	for (unsigned i = 0; i < count; i++)
		all->vcpus[i] = (struct vcpu){ .all = all, .index = i, .fd = -1 };

	cpuid_tailor(cpuid, count, ioctl(kvm->fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0);
	if (cpuid_host_loses_xcr0())
		cpuid_hide_xsave(cpuid);
	cpuid_set_index(cpuid, 0);
	all->processor = snapshot_hash(SNAPSHOT_HASH_INIT, cpuid->entries, cpuid->nent * sizeof cpuid->entries[0]);
	for (unsigned i = 0; i < count; i++)
		if (create_one(all, i, cpuid, err))
			goto failed;
	set_tsc_rates(all);
	if (set_entry(&all->vcpus[0], entry, err))
		goto failed;
	return all;

failed:
	vcpus_destroy(all);
	return NULL;
}

static void close_all(struct vcpus *all)
{
	for (unsigned i = 0; i < all->count; i++) {
		if (all->vcpus[i].run)
			munmap(all->vcpus[i].run, all->kvm->run_size);
		close_fd(&all->vcpus[i].fd);
	}
}

void vcpus_destroy(struct vcpus *all)
{
	if (!all)
		return;
	vcpus_stop(all);
	close_all(all);
	pthread_cond_destroy(&all->changed);
	pthread_mutex_destroy(&all->lock);
	free(all->plan.msrs);
	free(all);
}

/* --- the vCPU's thread ------------------------------------------------------------------------------------- */

/* Where it stands, kept for vcpus_describe. */
static void describe(struct vcpu *vcpu)
{
	struct kvm_regs regs = { 0 };

	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs))
		return;
	log_debug("vCPU %u: rip %#llx rsp %#llx rbp %#llx rflags %#llx", vcpu->index, regs.rip, regs.rsp, regs.rbp,
		  regs.rflags);
	vcpu->rip = regs.rip;
	vcpu->takes_interrupts = regs.rflags & 1 << 9;
}

/* Looks at the wanted state and waits while that is to pause. False: the thread is to end. */
static bool wait_until_wanted(struct vcpu *vcpu)
{
	struct vcpus *all = vcpu->all;
	bool has_paused = false;
	enum wanted wanted;

	pthread_mutex_lock(&all->lock);
	while ((wanted = atomic_load(&all->wanted)) == WANT_PAUSE) {
		if (!vcpu->is_out) {
			if (all->describes)
				describe(vcpu);
			vcpu->is_out = has_paused = true;
			pthread_cond_broadcast(&all->changed);
		}
		pthread_cond_wait(&all->changed, &all->lock);
	}
	vcpu->is_out = wanted == WANT_STOP;
	pthread_mutex_unlock(&all->lock);
	/* So that the guest's watchdogs don't take the pause for a lock-up. Refused while its clock is not set up. */
	if (has_paused)
		ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0);
	return wanted == WANT_RUN;
}

static bool handle_port(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	bool is_write = run->io.direction == KVM_EXIT_IO_OUT;

	/* A string instruction comes as one exit with `count` values, all for the same port. */
	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size)
		if (!vcpu->all->callbacks->port_accessed(vcpu->all->arg, run->io.port, data, run->io.size, is_write))
			return false;
	return true;
}

static void give_up(struct vcpu *vcpu, bool guest_did_it, const char *why)
{
	struct kvm_regs regs = { 0 };
	struct kvm_sregs sregs = { 0 };

	if (!ioctl(vcpu->fd, KVM_GET_REGS, &regs) && !ioctl(vcpu->fd, KVM_GET_SREGS, &sregs)) {
		log_debug("vCPU %u: rip %#llx rsp %#llx rflags %#llx cs %#x cr0 %#llx cr2 %#llx cr3 %#llx cr4 %#llx "
			  "efer %#llx",
			  vcpu->index, regs.rip, regs.rsp, regs.rflags, sregs.cs.selector, sregs.cr0, sregs.cr2,
			  sregs.cr3, sregs.cr4, sregs.efer);
		log_debug("vCPU %u: rax %#llx rbx %#llx rcx %#llx rdx %#llx rsi %#llx rdi %#llx rbp %#llx", vcpu->index,
			  regs.rax, regs.rbx, regs.rcx, regs.rdx, regs.rsi, regs.rdi, regs.rbp);
	}
	vcpu->all->callbacks->vcpu_ended(vcpu->all->arg, guest_did_it, why);
}

/* False: this vCPU has run its last instruction. */
static bool handle_exit(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	char why[160];

	switch (run->exit_reason) {
	case KVM_EXIT_MMIO:
		return vcpu->all->callbacks->mmio_accessed(vcpu->all->arg, run->mmio.phys_addr, run->mmio.data,
							   run->mmio.len, run->mmio.is_write);
	case KVM_EXIT_IO:
		return handle_port(vcpu);
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return true;
	case KVM_EXIT_SHUTDOWN:
		give_up(vcpu, true, "the guest shut its processor down (triple fault)");
		return false;
	case KVM_EXIT_INTERNAL_ERROR:
		snprintf(why, sizeof why,
			 "KVM could not run the guest: internal error %u (1: an instruction it cannot emulate)",
			 run->internal.suberror);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		snprintf(why, sizeof why, "KVM could not enter the guest: hardware reason %#llx",
			 (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		snprintf(why, sizeof why, "KVM left the guest for a reason unknown here: %u", run->exit_reason);
		break;
	}
	give_up(vcpu, false, why);
	return false;
}

/* A page of a file that the guest has mapped is gone. Another vCPU may have seen to it just before. */
static bool bring_page(struct vcpu *vcpu)
{
	enum { MISSES_MAX = 3 };

	if (!vcpu->all->callbacks->page_missing)
		return false;
	if (vcpu->all->callbacks->page_missing(vcpu->all->arg))
		vcpu->missed = 0;
	else
		vcpu->missed++;
	return vcpu->missed < MISSES_MAX;
}

static void give_up_on_run(struct vcpu *vcpu, int code)
{
	char why[200];

	if (code == EFAULT)
		snprintf(why, sizeof why,
			 "the host could not give the guest a page: of a mapped file that cannot be read (I/O error?), "
			 "or of its memory");
	else
		snprintf(why, sizeof why, "KVM could not run the guest: %s", strerror(code));
	give_up(vcpu, false, why);
}

/* Waits to be told to stop. Whether this is the last of all, and they will not be started again. */
static bool has_ended_last(struct vcpu *vcpu)
{
	struct vcpus *all = vcpu->all;
	bool is_last;

	/* A kick that comes late finds nothing to do: vcpus_end unmaps it. */
	this_run = NULL;
	atomic_signal_fence(memory_order_seq_cst);
	pthread_mutex_lock(&all->lock);
	vcpu->is_out = true;
	pthread_cond_broadcast(&all->changed);
	while (atomic_load(&all->wanted) != WANT_STOP)
		pthread_cond_wait(&all->changed, &all->lock);
	all->ended++;
	is_last = all->ended == all->count && all->is_last_stop;
	pthread_cond_broadcast(&all->changed);
	pthread_mutex_unlock(&all->lock);
	return is_last;
}

static void *vcpu_main(void *arg)
{
	struct vcpu *vcpu = arg;
	struct vcpus *all = vcpu->all;
	struct err err = ERR_INIT;
	bool goes_on;

	this_run = vcpu->run;
	if (all->confine && all->confine(&err)) {
		give_up(vcpu, false, err.text);
		goes_on = false;
	} else {
		goes_on = wait_until_wanted(vcpu);
	}
	while (goes_on) {
		int result = ioctl(vcpu->fd, KVM_RUN, 0);

		/* Only this thread writes it; others read. */
		atomic_store_explicit(&vcpu->exits, atomic_load_explicit(&vcpu->exits, memory_order_relaxed) + 1,
				      memory_order_relaxed);
		if (!result) {
			vcpu->missed = 0;
			goes_on = handle_exit(vcpu);
		} else if (errno == EINTR || errno == EAGAIN) {
			vcpu->run->immediate_exit = 0;
			goes_on = wait_until_wanted(vcpu);
		} else if (errno == EFAULT && bring_page(vcpu)) {
			goes_on = wait_until_wanted(vcpu);
		} else {
			give_up_on_run(vcpu, errno);
			goes_on = false;
		}
	}
	if (has_ended_last(vcpu))
		all->callbacks->all_ended(all->arg);
	return NULL;
}

/* --- the main thread's side -------------------------------------------------------------------------------- */

int vcpus_start(struct vcpus *all, int (*confine)(struct err *err), struct err *err)
{
	const struct sigaction action = { .sa_handler = leave_guest }; /* no SA_RESTART: KVM_RUN is to return */
	pthread_attr_t attributes;
	sigset_t kick;

	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	if (sigaction(KICK_SIGNAL, &action, NULL))
		return err_set_errno(err, "cannot set a signal handler");
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL); /* whoever started us may have had it blocked */
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	all->confine = confine;
	atomic_store(&all->wanted, WANT_PAUSE);
	for (unsigned i = 0; i < all->count; i++) {
		int code = pthread_create(&all->vcpus[i].thread, &attributes, vcpu_main, &all->vcpus[i]);

		if (code) {
			pthread_attr_destroy(&attributes);
			return err_set(err, code, "cannot start the thread of vCPU %u: %s", i, strerror(code));
		}
		all->vcpus[i].has_thread = true;
	}
	pthread_attr_destroy(&attributes);
	return 0;
}

static void kick_all(struct vcpus *all, enum wanted wanted)
{
	pthread_mutex_lock(&all->lock);
	atomic_store(&all->wanted, wanted);
	pthread_cond_broadcast(&all->changed);
	pthread_mutex_unlock(&all->lock);
	for (unsigned i = 0; i < all->count; i++)
		if (all->vcpus[i].has_thread)
			pthread_kill(all->vcpus[i].thread, KICK_SIGNAL);
}

static bool all_are_out(struct vcpus *all)
{
	for (unsigned i = 0; i < all->count; i++)
		if (all->vcpus[i].has_thread && !all->vcpus[i].is_out)
			return false;
	return true;
}

void vcpus_hold(struct vcpus *all)
{
	kick_all(all, WANT_PAUSE);
}

int vcpus_pause(struct vcpus *all, struct err *err)
{
	struct timespec deadline;
	bool out;

	/* Paused already, or on their way (vcpus_hold): then this only waits. */
	kick_all(all, WANT_PAUSE);
	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += PAUSE_SECONDS;
	pthread_mutex_lock(&all->lock);
	while (!(out = all_are_out(all)))
		if (pthread_cond_timedwait(&all->changed, &all->lock, &deadline) == ETIMEDOUT)
			break;
	out = out || all_are_out(all);
	pthread_mutex_unlock(&all->lock);
	if (out)
		return 0;
	vcpus_resume(all);
	return err_set(err, ETIMEDOUT, "a vCPU did not leave the guest within %d seconds", PAUSE_SECONDS);
}

size_t vcpus_describe(struct vcpus *all, char *text, size_t size)
{
	struct err err = ERR_INIT;
	size_t used = 0;

	pthread_mutex_lock(&all->lock);
	all->describes = true;
	pthread_mutex_unlock(&all->lock);
	if (vcpus_pause(all, &err))
		return (size_t)snprintf(text, size, "%s", err.text);
	for (unsigned i = 0; i < all->count && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%svCPU %u at %#llx after %lu exits, interrupts %s",
					 i ? ", " : "", i, (unsigned long long)all->vcpus[i].rip,
					 atomic_load(&all->vcpus[i].exits),
					 all->vcpus[i].takes_interrupts ? "on" : "off");
	return used;
}

void vcpus_resume(struct vcpus *all)
{
	pthread_mutex_lock(&all->lock);
	if (atomic_load(&all->wanted) == WANT_PAUSE)
		atomic_store(&all->wanted, WANT_RUN);
	pthread_cond_broadcast(&all->changed);
	pthread_mutex_unlock(&all->lock);
}

bool vcpus_are_paused(struct vcpus *all)
{
	return atomic_load(&all->wanted) == WANT_PAUSE;
}

void vcpus_stop(struct vcpus *all)
{
	kick_all(all, WANT_STOP);
	for (unsigned i = 0; i < all->count; i++) {
		if (all->vcpus[i].has_thread)
			pthread_join(all->vcpus[i].thread, NULL);
		all->vcpus[i].has_thread = false;
	}
}

void vcpus_end(struct vcpus *all)
{
	pthread_mutex_lock(&all->lock);
	all->is_last_stop = true;
	pthread_mutex_unlock(&all->lock);
	kick_all(all, WANT_STOP);
	pthread_mutex_lock(&all->lock);
	while (all->ended < all->count)
		pthread_cond_wait(&all->changed, &all->lock);
	pthread_mutex_unlock(&all->lock);
	close_all(all);
}

int vcpus_plan_save(struct vcpus *all, struct err *err)
{
	return vcpu_state_plan(&all->plan, all->kvm->fd, all->kvm->vm_fd, all->vcpus[0].fd, err);
}

int vcpus_save(struct vcpus *all, struct snapshot_writer *writer, struct err *err)
{
	for (unsigned i = 0; i < all->count; i++)
		if (vcpu_state_save(&all->plan, all->vcpus[i].fd, i, writer, err))
			return -1;
	return 0;
}

int vcpus_restore(struct vcpus *all, const struct snapshot *snapshot, struct err *err)
{
	for (unsigned i = 0; i < all->count; i++)
		if (vcpu_state_restore(all->kvm->vm_fd, all->vcpus[i].fd, all->vcpus[0].fd, i, snapshot, err))
			return -1;
	return 0;
}

uint64_t vcpus_processor(const struct vcpus *all)
{
	return all->processor;
}

unsigned vcpus_count(const struct vcpus *all)
{
	return all->count;
}

uint64_t vcpus_exits(struct vcpus *all)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < all->count; i++)
		sum += atomic_load_explicit(&all->vcpus[i].exits, memory_order_relaxed);
	return sum;
}
