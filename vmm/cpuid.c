/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cpuid.h"

#include "common/auto.h"
#include "common/err.h"

#include <cpuid.h>
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

/* Leaves and bits: Intel SDM volume 2 (CPUID), AMD APM volume 3 appendix E. */
#define BIT(n) (1u << (n))

enum { ENTRIES_MAX = 256, TOPOLOGY_LEVELS = 3 };
enum { LEVEL_CORE = 1, TYPE_SMT = 1, TYPE_CORE = 2 };

struct kvm_cpuid2 *cpuid_supported(int kvm_fd, struct err *err)
{
	auto_free struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof *cpuid + (ENTRIES_MAX + TOPOLOGY_LEVELS) * sizeof cpuid->entries[0]);

	if (!cpuid) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	cpuid->nent = ENTRIES_MAX;
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid)) {
		err_set_errno(err, "KVM does not say what processor it offers");
		return NULL;
	}
	return take_ptr(&cpuid);
}

/* Bits that hold `count` different ids. */
static unsigned id_bits(unsigned count)
{
	unsigned bits = 0;

	while ((1u << bits) < count)
		bits++;
	return bits;
}

/* Caches up to level 2 are a core's own, the others are shared by all. */
static uint32_t cache_sharing(uint32_t eax, unsigned count)
{
	unsigned level = eax >> 5 & 7;

	return (eax & ~(0xfffu << 14)) | (level > 2 ? count - 1 : 0) << 14;
}

static void drop_entry(struct kvm_cpuid2 *cpuid, unsigned at)
{
	cpuid->nent--;
	for (; at < cpuid->nent; at++)
		cpuid->entries[at] = cpuid->entries[at + 1];
}

static void add_topology(struct kvm_cpuid2 *cpuid, unsigned count)
{
	const struct kvm_cpuid_entry2 levels[TOPOLOGY_LEVELS] = {
		{ .index = 0, .eax = 0, .ebx = 1, .ecx = 0 | TYPE_SMT << 8 },
		{ .index = 1, .eax = id_bits(count), .ebx = count, .ecx = LEVEL_CORE | TYPE_CORE << 8 },
		{ .index = 2, .ecx = 2 },
	};

	for (unsigned i = 0; i < TOPOLOGY_LEVELS; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[cpuid->nent++];

		*entry = levels[i];
		entry->function = 0xb;
		entry->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	}
}

void cpuid_tailor(struct kvm_cpuid2 *cpuid, unsigned count, bool has_tsc_deadline)
{
	bool has_topology_leaf = false;

	for (unsigned i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		switch (entry->function) {
		case 0x0:
			has_topology_leaf = entry->eax >= 0xb;
			break;
		case 0x1:
			entry->ebx = (entry->ebx & 0xffff) | count << 16;
			entry->ecx &= ~BIT(5);           /* VMX */
			entry->ecx |= BIT(31) | BIT(21); /* hypervisor; x2APIC, which KVM always has */
			entry->ecx &= ~BIT(24);
			if (has_tsc_deadline)
				entry->ecx |= BIT(24);
			entry->edx &= ~BIT(28);
			if (count > 1)
				entry->edx |= BIT(28); /* the count in EBX is valid */
			break;
		case 0x4:
			if (entry->eax & 0x1f)
				entry->eax = (cache_sharing(entry->eax, count) & ~(0x3fu << 26)) | (count - 1) << 26;
			break;
		case 0xa:        /* performance counters, Intel */
		case 0x80000022: /* performance counters, AMD */
		case 0x8000000a: /* SVM */
			entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
			break;
		case 0x80000001:
			entry->ecx &= ~(BIT(2) | BIT(23) | BIT(24) | BIT(28)); /* SVM; performance counters, AMD */
			break;
		case 0x80000008:
			entry->ecx = id_bits(count) << 12 | (count - 1);
			break;
		case 0x8000001d:
			if (entry->eax & 0x1f)
				entry->eax = cache_sharing(entry->eax, count);
			break;
		}
	}
	/* KVM's own entries for these describe no topology, or the host's. */
	for (unsigned i = 0; i < cpuid->nent;) {
		uint32_t function = cpuid->entries[i].function;

		if (function == 0xb || function == 0x1f || function == 0x80000026)
			drop_entry(cpuid, i);
		else
			i++;
	}
	if (has_topology_leaf)
		add_topology(cpuid, count);
}

/*
 * KVM on a processor that QEMU emulates is not told when a guest writes XCR0 (XSETBV is not intercepted, at least up to
 * 7.2), so leaf 0xd says the wrong size and a Linux guest gives XSAVE up with a warning that takes a twentieth of its
 * boot. It better does not look.
 */
bool cpuid_host_loses_xcr0(void)
{
	unsigned eax, ebx, ecx, edx;
	char name[12];

	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & BIT(31)))
		return false;
	__cpuid(0x40000000, eax, ebx, ecx, edx);
	memcpy(name, &ebx, 4);
	memcpy(name + 4, &ecx, 4);
	memcpy(name + 8, &edx, 4);
	return !memcmp(name, "TCGTCGTCGTCG", sizeof name);
}

void cpuid_hide_xsave(struct kvm_cpuid2 *cpuid)
{
	for (unsigned i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function == 0x1)
			entry->ecx &= ~(BIT(26) | BIT(28)); /* XSAVE, and AVX, which needs it */
		if (entry->function == 0xd)
			drop_entry(cpuid, i--);
	}
}

void cpuid_set_index(struct kvm_cpuid2 *cpuid, unsigned index)
{
	for (unsigned i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		switch (entry->function) {
		case 0x1:
			entry->ebx = (entry->ebx & 0xffffff) | index << 24;
			break;
		case 0xb:
			entry->edx = index;
			break;
		case 0x8000001e:
			entry->eax = index;
			entry->ebx = index; /* core id; one thread in each core */
			entry->ecx = 0;     /* node 0 of 1 */
			break;
		}
	}
}

unsigned cpuid_address_bits(void)
{
	unsigned eax, ebx, ecx, edx;

	return __get_cpuid(0x80000008, &eax, &ebx, &ecx, &edx) ? eax & 0xff : 36;
}
