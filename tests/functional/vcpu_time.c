/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU's time stamp counter as KVM has it, which is what a guest's timers go by, in VMs made and restored by the
 * monitor's own code. For 28_clones.bats, on a machine whose KVM can run guests. Prints a line for each case and ends
 * with an assertion that fails, or with status 0.
 */
#undef NDEBUG
#include "common/err.h"
#include "vmm/kvm.h"
#include "vmm/snapshot.h"
#include "vmm/vcpu.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MS 1000000ull /* of a counter of 1 GHz; ours are quicker */

enum { MSR_TSC = 0x10, VCPUS = 2 };

struct vm {
	struct kvm kvm;
	struct vcpus *vcpus;
	int fds[VCPUS];
};

static const struct vcpu_callbacks callbacks;

static uint64_t get_tsc(int fd)
{
	_Alignas(struct kvm_msrs) uint8_t buffer[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)] = { 0 };
	struct kvm_msrs *msrs = (void *)buffer;

	msrs->nmsrs = 1;
	msrs->entries[0].index = MSR_TSC;
	assert(ioctl(fd, KVM_GET_MSRS, msrs) == 1);
	return msrs->entries[0].data;
}

static void set_tsc(int fd, uint64_t value)
{
	_Alignas(struct kvm_msrs) uint8_t buffer[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)] = { 0 };
	struct kvm_msrs *msrs = (void *)buffer;

	msrs->nmsrs = 1;
	msrs->entries[0] = (struct kvm_msr_entry){ .index = MSR_TSC, .data = value };
	assert(ioctl(fd, KVM_SET_MSRS, msrs) == 1);
}

static uint64_t get_offset(int fd)
{
	uint64_t offset = 0;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};

	assert(ioctl(fd, KVM_GET_DEVICE_ATTR, &attr) == 0);
	return offset;
}

/* The monitor keeps the vCPUs' descriptors to itself: the last two that were opened. */
static void find_vcpus(struct vm *vm)
{
	for (int fd = 3; fd < 256; fd++) {
		char path[64], what[64] = "";
		unsigned index;

		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		if (readlink(path, what, sizeof what - 1) > 0 && sscanf(what, "anon_inode:kvm-vcpu:%u", &index) == 1 &&
		    index < VCPUS)
			vm->fds[index] = fd;
	}
}

static void close_vm(struct vm *vm)
{
	vcpus_destroy(vm->vcpus);
	kvm_destroy(&vm->kvm);
	close(vm->kvm.fd);
}

/* `khz`: the rate that KVM has in mind for the VM; 0 is as it comes. */
static void open_vm(struct vm *vm, long khz)
{
	struct err err = ERR_INIT;
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	*vm = (struct vm){ .fds = { -1, -1 } };
	assert(fd >= 0 && kvm_create(&vm->kvm, fd, &err) == 0);
	if (khz)
		assert(ioctl(vm->kvm.vm_fd, KVM_SET_TSC_KHZ, khz) == 0);
	vm->vcpus = vcpus_create(&vm->kvm, VCPUS, 0, &callbacks, NULL, &err);
	assert(vm->vcpus);
	find_vcpus(vm);
	assert(vm->fds[0] >= 0 && vm->fds[1] >= 0);
}

static void assert_counts(int fd)
{
	uint64_t before = get_tsc(fd);

	usleep(20000);
	assert(get_tsc(fd) - before >= 20 * MS);
}

/*
 * KVM that was loaded before the kernel had measured the counter's rate well: without scaling in the processor, KVM's
 * view of the counter stood still, the guest saw the host's, and its timers came late by the host's age.
 */
static void time_goes_on_where_kvm_remembers_a_wrong_rate(void)
{
	struct vm vm;
	int khz;

	open_vm(&vm, 0);
	khz = ioctl(vm.fds[0], KVM_GET_TSC_KHZ, 0);
	close_vm(&vm);
	for (int wrong = khz - khz / 1000; wrong < khz + khz / 500; wrong += khz / 500) {
		open_vm(&vm, wrong);
		for (unsigned i = 0; i < VCPUS; i++) {
			assert(ioctl(vm.fds[i], KVM_GET_TSC_KHZ, 0) == khz);
			assert_counts(vm.fds[i]);
			assert(get_tsc(vm.fds[i]) < 1000000 * MS);
		}
		assert(get_offset(vm.fds[0]) == get_offset(vm.fds[1]));
		printf("KVM has %d kHz in mind: the guest has %d kHz\n", wrong, khz);
		close_vm(&vm);
	}
}

static void save(struct vm *vm, struct snapshot_writer *writer)
{
	struct err err = ERR_INIT;

	*writer = (struct snapshot_writer){ 0 };
	assert(vcpus_save(vm->vcpus, writer, &err) == 0);
	assert(snapshot_finish(writer, &err) == 0);
}

/* KVM took what was restored for an attempt to bring vCPUs into step, and left the counter where it was. */
static void time_of_a_guest_saved_in_its_first_second_is_restored(void)
{
	static const uint64_t times[] = { 100 * MS, 700 * MS, 1ull << 40 };
	struct err err = ERR_INIT;

	for (unsigned i = 0; i < sizeof times / sizeof *times; i++) {
		struct snapshot_writer writer;
		struct snapshot snapshot;
		uint64_t saved, restored, offset;
		struct vm vm;

		open_vm(&vm, 0);
		assert(vcpus_plan_save(vm.vcpus, &err) == 0);
		offset = get_offset(vm.fds[0]);
		while (get_tsc(vm.fds[0]) < times[0])
			usleep(10000);
		if (i > 0)
			for (unsigned n = 0; n < VCPUS; n++)
				set_tsc(vm.fds[n], times[i] + (1ull << 50)), set_tsc(vm.fds[n], times[i]);
		saved = get_tsc(vm.fds[0]);
		save(&vm, &writer);
		close_vm(&vm);

		open_vm(&vm, 0);
		assert(get_offset(vm.fds[0]) != offset);
		assert(snapshot_open(&snapshot, writer.data, writer.length, &err) == 0);
		assert(vcpus_restore(vm.vcpus, &snapshot, &err) == 0);
		restored = get_tsc(vm.fds[0]);
		assert(restored >= saved && restored < saved + 60000 * MS);
		assert(get_offset(vm.fds[0]) == get_offset(vm.fds[1]));
		assert_counts(vm.fds[0]);
		printf("saved at %llu, goes on at %llu\n", (unsigned long long)saved, (unsigned long long)restored);
		close_vm(&vm);
		free(writer.data);
	}
}

int main(void)
{
	time_goes_on_where_kvm_remembers_a_wrong_rate();
	time_of_a_guest_saved_in_its_first_second_is_restored();
	return 0;
}
