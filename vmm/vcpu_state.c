/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vcpu_state.h"

#include "common/auto.h"
#include "common/err.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

enum { MSRS_MAX = 1024, XSAVE_MAX = 64 << 10 };
enum { MSR_TSC = 0x10, MSR_TSC_DEADLINE = 0x6e0 };

/* What is a struct of one size, in the order of restoring: the local APIC needs the APIC base, which is in the system
 * registers. */
static const struct part {
	enum snapshot_kind kind;
	size_t size;
	unsigned long get, set;
	const char *name;
} parts[] = {
	{ SNAPSHOT_SREGS, sizeof(struct kvm_sregs), KVM_GET_SREGS, KVM_SET_SREGS, "system registers" },
	{ SNAPSHOT_REGS, sizeof(struct kvm_regs), KVM_GET_REGS, KVM_SET_REGS, "registers" },
	{ SNAPSHOT_XCRS, sizeof(struct kvm_xcrs), KVM_GET_XCRS, KVM_SET_XCRS, "extended control registers" },
	{ SNAPSHOT_DEBUGREGS, sizeof(struct kvm_debugregs), KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, "debug registers" },
	{ SNAPSHOT_LAPIC, sizeof(struct kvm_lapic_state), KVM_GET_LAPIC, KVM_SET_LAPIC, "local APIC" },
	{ SNAPSHOT_MP_STATE, sizeof(struct kvm_mp_state), KVM_GET_MP_STATE, KVM_SET_MP_STATE, "state" },
	{ SNAPSHOT_EVENTS, sizeof(struct kvm_vcpu_events), KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, "events" },
};

/* --- plan -------------------------------------------------------------------------------------------------- */

/* Performance counters are hidden from the guest (cpuid.h), and reading theirs is refused or odd. */
static bool is_counter(uint32_t index)
{
	return (index >= 0xc1 && index <= 0xc8) || (index >= 0x186 && index <= 0x18d) ||
	       (index >= 0x309 && index <= 0x30b) || (index >= 0x38d && index <= 0x390) ||
	       (index >= 0xc0010000 && index <= 0xc0010007) || (index >= 0xc0010200 && index <= 0xc001020b);
}

/* KVM stops at the first it does not like: without that one, from there on. */
static size_t read_msrs(int fd, struct kvm_msr_entry *entries, size_t count)
{
	auto_free struct kvm_msrs *msrs = malloc(sizeof *msrs + MSRS_MAX * sizeof msrs->entries[0]);
	size_t done = 0;

	while (msrs && done < count) {
		int got;

		*msrs = (struct kvm_msrs){ .nmsrs = (uint32_t)(count - done) };
		memcpy(msrs->entries, entries + done, (count - done) * sizeof *entries);
		got = ioctl(fd, KVM_GET_MSRS, msrs);
		if (got < 0)
			return done;
		memcpy(entries + done, msrs->entries, (size_t)got * sizeof *entries);
		done += (size_t)got;
		if (done < count)
			memmove(entries + done, entries + done + 1, (--count - done) * sizeof *entries);
	}
	return done;
}

int vcpu_state_plan(struct vcpu_state_plan *plan, int kvm_fd, int vm_fd, int fd, struct err *err)
{
	auto_free struct kvm_msr_list *list = NULL;
	int xsave = ioctl(vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);

	*plan = (struct vcpu_state_plan){ .xsave_size = sizeof(struct kvm_xsave) };
	if (xsave > (int)sizeof(struct kvm_xsave))
		plan->xsave_size = (size_t)xsave;
	if (plan->xsave_size > XSAVE_MAX)
		return err_set(err, ENOTSUP, "this processor has more extended state than expected");
	list = malloc(sizeof *list + MSRS_MAX * sizeof list->indices[0]);
	plan->msrs = calloc(MSRS_MAX, sizeof *plan->msrs);
	if (!list || !plan->msrs)
		return err_set(err, ENOMEM, "out of memory");
	list->nmsrs = MSRS_MAX;
	if (ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, list))
		return err_set_errno(err, "KVM does not say which registers a processor has");
	for (unsigned i = 0; i < list->nmsrs; i++)
		if (!is_counter(list->indices[i]))
			plan->msrs[plan->msr_count++].index = list->indices[i];
	plan->msr_count = read_msrs(fd, plan->msrs, plan->msr_count);
	return 0;
}

/* --- save -------------------------------------------------------------------------------------------------- */

/* The time first, and its alarm last; of the others, what differs from a vCPU that never ran. */
static size_t choose_msrs(const struct vcpu_state_plan *plan, const struct kvm_msr_entry *now,
			  struct kvm_msr_entry *out)
{
	size_t count = 0;

	for (unsigned turn = 0; turn < 3; turn++)
		for (size_t i = 0; i < plan->msr_count; i++) {
			uint32_t number = plan->msrs[i].index;

			if (turn == (number == MSR_TSC            ? 0u
				     : number == MSR_TSC_DEADLINE ? 2u
								  : 1u) &&
			    (turn != 1 || now[i].data != plan->msrs[i].data))
				out[count++] = now[i];
		}
	return count;
}

static int save_msrs(const struct vcpu_state_plan *plan, int fd, unsigned index, struct snapshot_writer *writer,
		     struct err *err)
{
	auto_free struct kvm_msr_entry *now = calloc(2 * plan->msr_count + 1, sizeof *now);
	struct kvm_msr_entry *chosen;
	void *payload;
	size_t count;

	if (!now)
		return err_set(err, ENOMEM, "out of memory");
	chosen = now + plan->msr_count;
	memcpy(now, plan->msrs, plan->msr_count * sizeof *now);
	if (read_msrs(fd, now, plan->msr_count) != plan->msr_count)
		return err_set(err, EIO, "KVM does not show all model-specific registers of vCPU %u", index);
	count = choose_msrs(plan, now, chosen);
	payload = snapshot_add(writer, SNAPSHOT_MSRS, index, count * sizeof *chosen);
	if (!payload)
		return err_set(err, ENOMEM, "out of memory");
	memcpy(payload, chosen, count * sizeof *chosen);
	return 0;
}

int vcpu_state_save(const struct vcpu_state_plan *plan, int fd, unsigned index, struct snapshot_writer *writer,
		    struct err *err)
{
	void *xsave;

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		void *payload = snapshot_add(writer, parts[i].kind, index, parts[i].size);

		if (!payload)
			return err_set(err, ENOMEM, "out of memory");
		if (ioctl(fd, parts[i].get, payload))
			return err_set_errno(err, "KVM does not show the %s of vCPU %u", parts[i].name, index);
	}
	xsave = snapshot_add(writer, SNAPSHOT_XSAVE, index, plan->xsave_size);
	if (!xsave)
		return err_set(err, ENOMEM, "out of memory");
	if (ioctl(fd, plan->xsave_size > sizeof(struct kvm_xsave) ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, xsave))
		return err_set_errno(err, "KVM does not show the extended state of vCPU %u", index);
	return save_msrs(plan, fd, index, writer, err);
}

/* --- restore ----------------------------------------------------------------------------------------------- */

static int set_msrs(int fd, unsigned index, const struct kvm_msr_entry *entries, size_t count, struct err *err)
{
	auto_free struct kvm_msrs *msrs = malloc(sizeof *msrs + (count + 1) * sizeof *entries);
	int done;

	if (!msrs)
		return err_set(err, ENOMEM, "out of memory");
	*msrs = (struct kvm_msrs){ .nmsrs = (uint32_t)count };
	memcpy(msrs->entries, entries, count * sizeof *entries);
	done = ioctl(fd, KVM_SET_MSRS, msrs);
	if (done < 0)
		return err_set_errno(err, "KVM refuses the model-specific registers of vCPU %u", index);
	if ((size_t)done < count)
		return err_set(err, EINVAL, "KVM refuses %#llx for register %#x of vCPU %u",
			       (unsigned long long)entries[done].data, entries[done].index, index);
	return 0;
}

/*
 * KVM takes a value within a second of what it expects for an attempt to bring vCPUs into step, and ignores it: before
 * Linux 6.8 also the first, if the guest was saved in its first second. Then its counter would begin at zero again, and
 * the timers that are set by then would be late by what it had counted. So the first vCPU gets a value first that is
 * far from any, and the others its offset; where KVM can't be told an offset (before 5.16), bringing into step is
 * right.
 */
static int restore_tsc(int fd, int first_fd, unsigned index, uint64_t value, struct err *err)
{
	const struct kvm_msr_entry entries[] = {
		{ .index = MSR_TSC, .data = value ^ 1ull << 60 },
		{ .index = MSR_TSC, .data = value },
	};
	uint64_t offset;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};

	if (fd == first_fd)
		return set_msrs(fd, index, entries, 2, err);
	if (!ioctl(first_fd, KVM_GET_DEVICE_ATTR, &attr) && !ioctl(fd, KVM_SET_DEVICE_ATTR, &attr))
		return 0;
	return set_msrs(fd, index, entries + 1, 1, err);
}

static int restore_msrs(int fd, int first_fd, unsigned index, const struct snapshot *snapshot, struct err *err)
{
	size_t count;
	const struct kvm_msr_entry *saved =
		snapshot_find_array(snapshot, SNAPSHOT_MSRS, index, sizeof *saved, MSRS_MAX, &count, err);

	if (!saved)
		return -1;
	if (!count || saved[0].index != MSR_TSC)
		return err_set(err, EBADMSG, "the state of vCPU %u does not begin with its time", index);
	return restore_tsc(fd, first_fd, index, saved[0].data, err) ? -1
								    : set_msrs(fd, index, saved + 1, count - 1, err);
}

int vcpu_state_restore(int vm_fd, int fd, int first_fd, unsigned index, const struct snapshot *snapshot,
		       struct err *err)
{
	int wanted = ioctl(vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
	size_t size = wanted > (int)sizeof(struct kvm_xsave) ? (size_t)wanted : sizeof(struct kvm_xsave);
	const void *xsave = snapshot_find(snapshot, SNAPSHOT_XSAVE, index, size, err);

	if (!xsave)
		return -1;
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		const void *payload = snapshot_find(snapshot, parts[i].kind, index, parts[i].size, err);

		if (!payload)
			return -1;
		/* After the registers that say how large it is. */
		if (parts[i].kind == SNAPSHOT_DEBUGREGS && ioctl(fd, KVM_SET_XSAVE, xsave))
			return err_set_errno(err, "KVM refuses the extended state of vCPU %u", index);
		if (ioctl(fd, parts[i].set, payload))
			return err_set_errno(err, "KVM refuses the %s of vCPU %u", parts[i].name, index);
	}
	return restore_msrs(fd, first_fd, index, snapshot, err);
}
