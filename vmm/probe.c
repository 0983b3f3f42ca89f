/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/probe.h"

#include "common/auto.h"
#include "common/err.h"

#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

/* The guest's memory: eight pages, identity mapped. */
enum {
	PML4 = 0x1000,
	PDPT = 0x2000,
	PD = 0x3000,
	GDT = 0x4000,
	IDT = 0x4800,
	CODE = 0x5000,
	DATA = 0x6000, /* zero, 64-byte aligned: operand of cmpxchg16b and xrstor */
	STACK = 0x8000,
	MEMORY_SIZE = 0x8000,
};

enum { CODE_SELECTOR = 8, DATA_SELECTOR = 16, BREAKPOINT_VECTOR = 3 };
enum { STEP_PORT = 0x10, LAP_PORT = 0x11, CPUID_ENTRIES = 256 };

/* A million instructions in laps, the fastest of which counts: others may have been held up by a busy host. */
enum { LAPS = 8, LAP_INSTRUCTIONS = 125000 };
#define TIME_LIMIT_NS 1000000000

/*
 * The slowest processor worth running on does some hundred million instructions a second, software emulation of a
 * whole machine ten to a hundred million, the KVM we warn of three.
 */
#define GOOD_RATE 10000000u

/* What the guest does next after each step it reports. */
enum step { STEP_ENTER, STEP_LOOP, STEP_CMPXCHG16B, STEP_INT3, STEP_XRSTOR, STEP_DONE, STEP_COUNT };

static const char *const step_names[STEP_COUNT] = {
	[STEP_ENTER] = "the first instruction",
	[STEP_LOOP] = "a loop",
	[STEP_CMPXCHG16B] = "cmpxchg16b",
	[STEP_INT3] = "int3",
	[STEP_XRSTOR] = "xrstor",
	[STEP_DONE] = "hlt",
};

/*
 * Runs at CODE in 64-bit kernel mode: EBX is the number of laps, ESI of the rounds (two instructions) in each, EDI the
 * address of DATA, EBP whether there is XSAVE. Each `out` reports the step, or lap, that is over.
 */
__asm__(".pushsection .rodata\n"
	"probe_code:\n"
	"	xor %eax, %eax\n"
	"	out %al, $0x10\n"
	"0:	mov %esi, %ecx\n"
	"1:	dec %ecx\n"
	"	jnz 1b\n"
	"	out %al, $0x11\n"
	"	dec %ebx\n"
	"	jnz 0b\n"
	"	inc %eax\n"
	"	out %al, $0x10\n"
	"	mov %eax, %r8d\n"
	"	xor %eax, %eax\n"
	"	xor %edx, %edx\n"
	"	lock cmpxchg16b (%rdi)\n"
	"	lea 1(%r8d), %eax\n"
	"	out %al, $0x10\n"
	"	int3\n"
	"	inc %eax\n"
	"	out %al, $0x10\n"
	"	test %ebp, %ebp\n"
	"	jz 2f\n"
	"	mov %eax, %r8d\n"
	"	mov $1, %eax\n"
	"	xor %edx, %edx\n"
	"	xrstor (%rdi)\n"
	"	mov %r8d, %eax\n"
	"2:	inc %eax\n"
	"	out %al, $0x10\n"
	"3:	hlt\n"
	"	jmp 3b\n"
	"probe_handler:\n"
	"	iretq\n"
	"probe_end:\n"
	".popsection\n");

extern const uint8_t probe_code[], probe_handler[], probe_end[];

struct probe {
	int vm_fd, vcpu_fd;
	uint8_t *memory;
	struct kvm_run *run;
	size_t run_size;
	bool has_xsave;
};

static void destroy(struct probe *probe)
{
	if (probe->run)
		munmap(probe->run, probe->run_size);
	if (probe->memory)
		munmap(probe->memory, MEMORY_SIZE);
	close_fd(&probe->vcpu_fd);
	close_fd(&probe->vm_fd);
}

static int create(struct probe *probe, int kvm_fd, struct err *err)
{
	int size = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	struct kvm_userspace_memory_region slot = { .memory_size = MEMORY_SIZE };
	void *map;

	if (size < (int)sizeof(struct kvm_run))
		return err_set_errno(err, "this is not a KVM we know");
	do {
		probe->vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	} while (probe->vm_fd < 0 && errno == EINTR);
	if (probe->vm_fd < 0)
		return err_set_errno(err, "KVM cannot make a virtual machine");
	/* Only Intel processors need these; where they are refused, they are not needed. */
	ioctl(probe->vm_fd, KVM_SET_TSS_ADDR, 0xfffbd000ul);
	map = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return err_set_errno(err, "out of memory");
	probe->memory = map;
	slot.userspace_addr = (uintptr_t)map;
	if (ioctl(probe->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot))
		return err_set_errno(err, "KVM refuses memory");
	probe->vcpu_fd = ioctl(probe->vm_fd, KVM_CREATE_VCPU, 0ul);
	if (probe->vcpu_fd < 0)
		return err_set_errno(err, "KVM cannot make a vCPU");
	probe->run_size = (size_t)size;
	map = mmap(NULL, probe->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, probe->vcpu_fd, 0);
	if (map == MAP_FAILED)
		return err_set_errno(err, "cannot map the vCPU");
	probe->run = map;
	return 0;
}

static int set_cpuid(struct probe *probe, int kvm_fd, struct err *err)
{
	auto_free struct kvm_cpuid2 *cpuid = calloc(1, sizeof *cpuid + CPUID_ENTRIES * sizeof cpuid->entries[0]);

	if (!cpuid)
		return err_set(err, ENOMEM, "out of memory");
	cpuid->nent = CPUID_ENTRIES;
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) || ioctl(probe->vcpu_fd, KVM_SET_CPUID2, cpuid))
		return err_set_errno(err, "KVM does not say what processor it offers");
	for (unsigned i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == 1)
			probe->has_xsave = cpuid->entries[i].ecx >> 26 & 1;
	return 0;
}

static void put64(struct probe *probe, unsigned at, uint64_t value)
{
	memcpy(probe->memory + at, &value, sizeof value);
}

static void fill_memory(struct probe *probe)
{
	uint64_t handler = CODE + ((uintptr_t)probe_handler - (uintptr_t)probe_code);

	put64(probe, PML4, PDPT | 3); /* present, writable */
	put64(probe, PDPT, PD | 3);
	put64(probe, PD, 0 | 0x83); /* one page of 2 MiB */
	put64(probe, GDT + CODE_SELECTOR, 0x00af9b000000ffff);
	put64(probe, GDT + DATA_SELECTOR, 0x00cf93000000ffff);
	put64(probe, IDT + 16 * BREAKPOINT_VECTOR, handler | CODE_SELECTOR << 16 | 0x8e0000000000); /* interrupt gate */
	memcpy(probe->memory + CODE, probe_code, (uintptr_t)probe_end - (uintptr_t)probe_code);
}

static int set_registers(struct probe *probe, struct err *err)
{
	struct kvm_regs regs = {
		.rip = CODE,
		.rsp = STACK,
		.rflags = 2,
		.rbx = LAPS,
		.rsi = LAP_INSTRUCTIONS / 2,
		.rdi = DATA,
		.rbp = probe->has_xsave,
	};
	struct kvm_sregs sregs;

	if (ioctl(probe->vcpu_fd, KVM_GET_SREGS, &sregs))
		return err_set_errno(err, "KVM does not show the registers");
	sregs.cs = (struct kvm_segment){
		.limit = 0xffffffff, .selector = CODE_SELECTOR, .type = 11, .present = 1, .l = 1, .s = 1, .g = 1
	};
	sregs.ss = (struct kvm_segment){
		.limit = 0xffffffff, .selector = DATA_SELECTOR, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1
	};
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss;
	sregs.tr = (struct kvm_segment){ .limit = 0x67, .type = 11, .present = 1 };
	sregs.gdt = (struct kvm_dtable){ .base = GDT, .limit = DATA_SELECTOR + 7 };
	sregs.idt = (struct kvm_dtable){ .base = IDT, .limit = 16 * BREAKPOINT_VECTOR + 15 };
	sregs.cr3 = PML4;
	sregs.cr4 = 1 << 5 | 1 << 9 | 1 << 10 | (uint64_t)probe->has_xsave << 18; /* PAE, OSFXSR, OSXMMEXCPT, OSXSAVE */
	sregs.cr0 = 0x80000033;                                                   /* paging, protected mode, FPU */
	sregs.efer = 1 << 8 | 1 << 10;                                            /* long mode */
	if (ioctl(probe->vcpu_fd, KVM_SET_SREGS, &sregs) || ioctl(probe->vcpu_fd, KVM_SET_REGS, &regs))
		return err_set_errno(err, "KVM refuses the registers");
	return 0;
}

static uint64_t processor_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Runs until the guest is done, dead, or SIGALRM (which is blocked here, but not in the guest) says it is enough. */
static void run(struct probe *probe, struct probe_result *out)
{
	enum step step = STEP_ENTER; /* the one the guest is at */
	uint64_t lap_began = processor_time();

	while (!ioctl(probe->vcpu_fd, KVM_RUN, 0) && probe->run->exit_reason == KVM_EXIT_IO && step < STEP_DONE) {
		uint64_t now = processor_time(), lap = now > lap_began ? now - lap_began : 1;
		uint64_t rate = LAP_INSTRUCTIONS * 1000000000ull / lap;

		if (probe->run->io.port == STEP_PORT)
			step++;
		else if (rate > out->instructions_per_second)
			out->instructions_per_second = rate;
		lap_began = now;
	}
	if (step == STEP_DONE && out->instructions_per_second >= GOOD_RATE)
		out->verdict = PROBE_GOOD;
	else if (step == STEP_DONE || (step == STEP_LOOP && out->instructions_per_second))
		out->verdict = PROBE_EMULATED;
	else
		out->failed_at = step_names[step];
}

static int run_bounded(struct probe *probe, struct probe_result *out, struct err *err)
{
	struct itimerspec limit = { .it_value = { .tv_sec = TIME_LIMIT_NS / 1000000000,
						  .tv_nsec = TIME_LIMIT_NS % 1000000000 } };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM };
	_Alignas(struct kvm_signal_mask) uint8_t buffer[sizeof(struct kvm_signal_mask) + 8];
	struct kvm_signal_mask *in_guest = (void *)buffer;
	sigset_t alarm, old;
	timer_t timer;

	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	if (pthread_sigmask(SIG_BLOCK, &alarm, &old))
		return err_set(err, EINVAL, "cannot block SIGALRM");
	in_guest->len = 8; /* as the kernel counts signals: 64 bits, none of them blocked */
	memset(in_guest->sigset, 0, 8);
	event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	if (ioctl(probe->vcpu_fd, KVM_SET_SIGNAL_MASK, in_guest) || timer_create(CLOCK_MONOTONIC, &event, &timer)) {
		err_set_errno(err, "cannot bound the time of the probe");
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		return -1;
	}
	timer_settime(timer, 0, &limit, NULL);
	run(probe, out);
	timer_delete(timer);
	sigtimedwait(&alarm, NULL, &(struct timespec){ 0 }); /* if it came, it is ours: nobody else is to see it */
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return 0;
}

int probe_kvm(int kvm_fd, struct probe_result *out, struct err *err)
{
	struct probe probe = { .vm_fd = -1, .vcpu_fd = -1 };
	int result = -1;

	*out = (struct probe_result){ .verdict = PROBE_FAILS };
	if (!create(&probe, kvm_fd, err) && !set_cpuid(&probe, kvm_fd, err)) {
		fill_memory(&probe);
		if (!set_registers(&probe, err))
			result = run_bounded(&probe, out, err);
	}
	destroy(&probe);
	return result;
}
