/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe.h - does this /dev/kvm run a guest's kernel mode, or does it only look so?
 *
 * Some clouds' nested KVM opens, answers and makes VMs, but emulates kernel mode one instruction at a time and gives up
 * at instructions that every kernel uses. The probe runs a page of such instructions in a VM of its own, for about a
 * second at most. Depends on common/ alone, so that `bulkhead check` can have it too.
 */
#ifndef BULKHEAD_PROBE_H
#define BULKHEAD_PROBE_H

#include <stdint.h>

struct err;

enum probe_verdict {
	PROBE_GOOD,
	PROBE_EMULATED, /* all instructions work, but too slowly to boot anything */
	PROBE_FAILS,    /* an instruction does not work; `failed_at` says which */
	PROBE_VERDICT_COUNT
};

struct probe_result {
	enum probe_verdict verdict;
	uint64_t instructions_per_second; /* of kernel mode, by processor time; 0: not measured */
	const char *failed_at;            /* NULL, or the instruction */
};

/* -1 with the error set when KVM does not even make a VM. Call it on a thread that does not need SIGALRM meanwhile. */
int probe_kvm(int kvm_fd, struct probe_result *out, struct err *err);

#endif
