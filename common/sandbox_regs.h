/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0) */
/*
 * sandbox_regs.h - register layout of the sandbox device, shared by the monitor (vmm/sandbox.c) and the guest
 * module (kmod/). One 4 KiB MMIO page and one level-free (edge) interrupt. All registers are 32 bits wide,
 * little-endian, and must be accessed aligned and with their own width; anything else is ignored and counted.
 *
 * The guest can only hurt itself through this page: every write is a value to note or a request to end this VM.
 */
#ifndef BULKHEAD_SANDBOX_REGS_H
#define BULKHEAD_SANDBOX_REGS_H

#define SANDBOX_MMIO_BASE 0xd1000000u /* guest physical address of the page */
#define SANDBOX_MMIO_SIZE 0x1000u
#define SANDBOX_IRQ 5u /* GSI, edge triggered */

#define SANDBOX_MAGIC_VALUE 0x42534842u /* "BHSB" */
#define SANDBOX_VERSION_VALUE 1u

/* Read only. */
#define SANDBOX_REG_MAGIC 0x000u
#define SANDBOX_REG_VERSION 0x004u
#define SANDBOX_REG_FEATURES 0x008u

/* Write only: one of enum sandbox_stamp; the monitor notes its own clock for it. Each stamp counts once. */
#define SANDBOX_REG_STAMP 0x00cu

/*
 * Write only: power off. Bits 0..7 are the status, bits 8..15 one of enum sandbox_off_reason. The write does not
 * return to the guest.
 */
#define SANDBOX_REG_POWER_OFF 0x010u

/*
 * Guest panic: the guest writes the guest physical address of a text buffer (low, high), then its length to
 * PANIC_LENGTH, which is the doorbell. The monitor copies at most SANDBOX_PANIC_MAX bytes, and keeps the last such
 * text. It does not stop the VM: the guest follows with POWER_OFF (reason PANIC).
 */
#define SANDBOX_REG_PANIC_ADDR_LOW 0x014u
#define SANDBOX_REG_PANIC_ADDR_HIGH 0x018u
#define SANDBOX_REG_PANIC_LENGTH 0x01cu
#define SANDBOX_PANIC_MAX 2048u

/*
 * Write only: the guest physical address of SANDBOX_IDENTITY_SIZE bytes inside one page, zeroed by the guest. The low
 * half comes first; the high half makes it count. The monitor fills it in when it continues a VM that was saved, before
 * any vCPU runs: so a guest that finds a generation other than the one it knows is another one than it was.
 */
#define SANDBOX_REG_IDENTITY_LOW 0x020u
#define SANDBOX_REG_IDENTITY_HIGH 0x024u

#define SANDBOX_ENTROPY_SIZE 64u

/* Offsets in it; little-endian. */
#define SANDBOX_IDENTITY_GENERATION 0u /* u64; 0: this VM began by booting */
#define SANDBOX_IDENTITY_REALTIME 8u   /* u64; nanoseconds since 1970, when it was filled in */
#define SANDBOX_IDENTITY_ENTROPY 16u   /* SANDBOX_ENTROPY_SIZE bytes that nobody else gets */
#define SANDBOX_IDENTITY_SIZE (SANDBOX_IDENTITY_ENTROPY + SANDBOX_ENTROPY_SIZE)

/* Numbers are part of the interface and never reused. */
enum sandbox_stamp {
	SANDBOX_STAMP_NONE = 0,
	SANDBOX_STAMP_MODULE = 1,      /* bulkhead_guest probed the device */
	SANDBOX_STAMP_AGENT_START = 2, /* first instruction of the agent's main, reported late, when the module is in */
	SANDBOX_STAMP_AGENT_READY = 3, /* the agent accepts connections */
	SANDBOX_STAMP_COUNT
};

enum sandbox_off_reason {
	SANDBOX_OFF_CLEAN = 0, /* the agent was asked to, or the kernel was asked to power off */
	SANDBOX_OFF_PANIC = 1, /* kernel panic; the text came before */
	SANDBOX_OFF_AGENT = 2, /* the agent cannot go on; the text came before, through the panic registers */
	SANDBOX_OFF_REASON_COUNT
};

#endif
