/* SPDX-License-Identifier: Apache-2.0 */
/* What vCPUs say about themselves, from a made-up host of either make. */
#include "vmm/cpuid.h"
#include "vmm/vcpu.h"

#include <linux/kvm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct kvm_cpuid_entry2 host[] = {
	{ .function = 0x0, .eax = 0x1f },
	{ .function = 0x1, .ebx = 0xaabbccdd, .ecx = 0x00000020, .edx = 0x10000000 },
	{ .function = 0x4, .index = 0, .eax = 0xfc004121 },
	{ .function = 0x4, .index = 3, .eax = 0xfc1fc163 },
	{ .function = 0xa, .eax = 0x07300404, .edx = 0x603 },
	{ .function = 0xb, .index = 0, .eax = 1, .ebx = 2, .ecx = 0x100 },
	{ .function = 0xb, .index = 1, .eax = 7, .ebx = 64, .ecx = 0x201 },
	{ .function = 0x1f, .index = 0, .eax = 1, .ebx = 2, .ecx = 0x100 },
	{ .function = 0x80000001, .ecx = 0xffffffff },
	{ .function = 0x80000008, .eax = 0x3030, .ecx = 0x703f },
	{ .function = 0x8000000a, .eax = 1, .ebx = 8, .edx = 0xff },
	{ .function = 0x8000001d, .index = 3, .eax = 0x0001c163 },
	{ .function = 0x8000001e, .eax = 77, .ebx = 0x100, .ecx = 0x301 },
	{ .function = 0x80000022, .eax = 1 },
};

static struct kvm_cpuid2 *tailored(unsigned count, unsigned index, bool deadline)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof *cpuid + 64 * sizeof cpuid->entries[0]);

	cpuid->nent = sizeof host / sizeof *host;
	memcpy(cpuid->entries, host, sizeof host);
	cpuid_tailor(cpuid, count, deadline);
	cpuid_set_index(cpuid, index);
	return cpuid;
}

static const struct kvm_cpuid_entry2 *find(const struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index)
{
	const struct kvm_cpuid_entry2 *found = NULL;

	for (unsigned i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == function && cpuid->entries[i].index == index) {
			assert_null(found);
			found = &cpuid->entries[i];
		}
	return found;
}

static void test_cpuid_topology_is_one_socket_of_single_cores(void **state)
{
	(void)state;
	for (unsigned count = 1; count <= VCPUS_MAX; count++) {
		struct kvm_cpuid2 *cpuid = tailored(count, count - 1, true);
		unsigned bits = find(cpuid, 0xb, 1)->eax;

		assert_true(1u << bits >= count && (bits == 0 || 1u << (bits - 1) < count));
		assert_int_equal(find(cpuid, 0xb, 0)->ebx, 1);
		assert_int_equal(find(cpuid, 0xb, 1)->ebx, count);
		assert_int_equal(find(cpuid, 0xb, 1)->ecx, 0x201);
		assert_int_equal(find(cpuid, 0xb, 0)->edx, count - 1);
		assert_null(find(cpuid, 0x1f, 0));
		assert_int_equal(find(cpuid, 0x1, 0)->ebx >> 24, count - 1);
		assert_int_equal(find(cpuid, 0x1, 0)->ebx >> 16 & 0xff, count);
		assert_int_equal(find(cpuid, 0x1, 0)->edx >> 28 & 1, count > 1);
		assert_int_equal(find(cpuid, 0x4, 0)->eax >> 26, count - 1);
		assert_int_equal(find(cpuid, 0x4, 0)->eax >> 14 & 0xfff, 0);
		assert_int_equal(find(cpuid, 0x4, 3)->eax >> 14 & 0xfff, count - 1);
		assert_int_equal(find(cpuid, 0x80000008, 0)->ecx, bits << 12 | (count - 1));
		assert_int_equal(find(cpuid, 0x8000001d, 3)->eax >> 14 & 0xfff, count - 1);
		assert_int_equal(find(cpuid, 0x8000001e, 0)->eax, count - 1);
		assert_int_equal(find(cpuid, 0x8000001e, 0)->ebx, count - 1);
		assert_int_equal(find(cpuid, 0x8000001e, 0)->ecx, 0);
		free(cpuid);
	}
}

static void test_cpuid_features_are_what_a_guest_may_have(void **state)
{
	struct kvm_cpuid2 *cpuid = tailored(2, 0, true);

	(void)state;
	assert_int_equal(find(cpuid, 0x1, 0)->ecx, 1u << 31 | 1u << 24 | 1u << 21); /* and VMX is gone */
	assert_int_equal(find(cpuid, 0xa, 0)->eax, 0);
	assert_int_equal(find(cpuid, 0x8000000a, 0)->edx, 0);
	assert_int_equal(find(cpuid, 0x80000022, 0)->eax, 0);
	assert_int_equal(find(cpuid, 0x80000001, 0)->ecx & (1u << 2 | 1u << 23), 0);
	free(cpuid);
	cpuid = tailored(2, 0, false);
	assert_int_equal(find(cpuid, 0x1, 0)->ecx >> 24 & 1, 0);
	free(cpuid);
}

static void test_cpuid_xsave_can_be_hidden(void **state)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof *cpuid + 3 * sizeof cpuid->entries[0]);

	(void)state;
	cpuid->nent = 3;
	cpuid->entries[0] = (struct kvm_cpuid_entry2){ .function = 0x1, .ecx = 0xffffffff, .edx = 0xffffffff };
	cpuid->entries[1] = (struct kvm_cpuid_entry2){ .function = 0xd, .eax = 7, .ebx = 832, .ecx = 832 };
	cpuid->entries[2] = (struct kvm_cpuid_entry2){ .function = 0xd, .index = 2, .eax = 256, .ebx = 576 };
	cpuid_hide_xsave(cpuid);
	assert_int_equal(cpuid->entries[0].ecx, 0xffffffff & ~(1u << 26 | 1u << 28));
	assert_int_equal(cpuid->entries[0].edx, 0xffffffff);
	assert_int_equal(cpuid->nent, 1);
	free(cpuid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpuid_topology_is_one_socket_of_single_cores),
		cmocka_unit_test(test_cpuid_features_are_what_a_guest_may_have),
		cmocka_unit_test(test_cpuid_xsave_can_be_hidden),
	};

	return cmocka_run_group_tests_name("cpuid", tests, NULL, NULL);
}
