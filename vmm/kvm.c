/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/kvm.h"

#include "common/auto.h"
#include "common/err.h"
#include "vmm/guest_memory.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

/* Between the devices and 4 GiB, where no memory is: real-mode helpers of processors that cannot do without. */
#define IDENTITY_MAP_ADDRESS 0xfffbc000ull
#define TSS_ADDRESS 0xfffbd000ull /* three pages */

/* Memory slots that are none of the guest's memory, by enum kvm_shown; the first of those for memory that comes while
 * it runs. */
enum { SHOWN_SLOTS = 8, LATER_SLOT = 16 };

static const struct {
	int number;
	const char *name;
} needed[] = {
	{ KVM_CAP_IRQCHIP, "in-kernel interrupt controllers (KVM_CAP_IRQCHIP)" },
	{ KVM_CAP_IRQFD, "interrupts by eventfd (KVM_CAP_IRQFD)" },
	{ KVM_CAP_IOEVENTFD, "notifications by eventfd (KVM_CAP_IOEVENTFD)" },
	{ KVM_CAP_IMMEDIATE_EXIT, "interruptible vCPUs (KVM_CAP_IMMEDIATE_EXIT)" },
};

static int check_host(int kvm_fd, struct err *err)
{
	int version = ioctl(kvm_fd, KVM_GET_API_VERSION, 0);

	if (version < 0)
		return err_set_errno(err, "the KVM descriptor is not /dev/kvm");
	if (version != KVM_API_VERSION)
		return err_set(err, ENOTSUP, "KVM has interface version %d instead of %d", version, KVM_API_VERSION);
	for (unsigned i = 0; i < sizeof needed / sizeof *needed; i++)
		if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, needed[i].number) <= 0)
			return err_set(err, ENOTSUP, "the host's KVM lacks %s; a newer kernel has it", needed[i].name);
	return 0;
}

int kvm_create(struct kvm *kvm, int kvm_fd, struct err *err)
{
	uint64_t identity_map = IDENTITY_MAP_ADDRESS;
	int run_size;

	*kvm = (struct kvm){ .fd = kvm_fd, .vm_fd = -1 };
	if (check_host(kvm_fd, err))
		return -1;
	run_size = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (run_size < (int)sizeof(struct kvm_run))
		return err_set(err, EIO, "KVM shares only %d bytes with a vCPU", run_size);
	kvm->run_size = (size_t)run_size;
	do {
		kvm->vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	} while (kvm->vm_fd < 0 && errno == EINTR);
	if (kvm->vm_fd < 0)
		return err_set_errno(err, "KVM cannot make a virtual machine");
	if (ioctl(kvm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map))
		return err_set_errno(err, "KVM refuses the identity map");
	if (ioctl(kvm->vm_fd, KVM_SET_TSS_ADDR, TSS_ADDRESS))
		return err_set_errno(err, "KVM refuses the task state segment");
	/* The timer chip (KVM_CREATE_PIT2) is left out: the guest has the TSC deadline timer and kvm-clock. */
	if (ioctl(kvm->vm_fd, KVM_CREATE_IRQCHIP, 0))
		return err_set_errno(err, "KVM cannot make interrupt controllers");
	return 0;
}

void kvm_destroy(struct kvm *kvm)
{
	close_fd(&kvm->vm_fd);
}

int kvm_set_memory(struct kvm *kvm, const struct guest_memory *memory, struct err *err)
{
	for (unsigned i = 0; i < memory->count; i++) {
		const struct guest_range *range = &memory->ranges[i];
		struct kvm_userspace_memory_region slot = {
			.slot = i,
			.guest_phys_addr = range->start,
			.memory_size = range->size,
			.userspace_addr = (uintptr_t)range->host,
		};

		if (ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot))
			return err_set_errno(err, "KVM refuses %llu MiB of memory for the guest",
					     (unsigned long long)(range->size >> 20));
	}
	return 0;
}

int kvm_add_memory(struct kvm *kvm, unsigned n, uint64_t address, uint64_t size, const void *host, struct err *err)
{
	const struct kvm_userspace_memory_region slot = {
		.slot = LATER_SLOT + n,
		.guest_phys_addr = address,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
	};

	if (ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot))
		return err_set_errno(err, "KVM refuses %llu MiB of memory more for the guest",
				     (unsigned long long)(size >> 20));
	return 0;
}

int kvm_interrupt_fd(struct kvm *kvm, unsigned gsi, struct err *err)
{
	auto_fd int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct kvm_irqfd request = { .fd = (uint32_t)fd, .gsi = gsi };

	if (fd < 0)
		return err_set_errno(err, "cannot make an eventfd");
	if (ioctl(kvm->vm_fd, KVM_IRQFD, &request))
		return err_set_errno(err, "KVM cannot wire interrupt %u", gsi);
	return take_fd(&fd);
}

static int wire_write(struct kvm *kvm, uint64_t address, uint32_t flags, uint32_t value, struct err *err)
{
	auto_fd int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct kvm_ioeventfd request = {
		.datamatch = value,
		.addr = address,
		.len = 4,
		.fd = fd,
		.flags = flags,
	};

	if (fd < 0)
		return err_set_errno(err, "cannot make an eventfd");
	if (ioctl(kvm->vm_fd, KVM_IOEVENTFD, &request))
		return err_set_errno(err, "KVM cannot wire the notification at %#llx", (unsigned long long)address);
	return take_fd(&fd);
}

int kvm_doorbell_fd(struct kvm *kvm, uint64_t address, uint32_t value, struct err *err)
{
	return wire_write(kvm, address, KVM_IOEVENTFD_FLAG_DATAMATCH, value, err);
}

void kvm_pulse_interrupt(const struct kvm *kvm, unsigned gsi)
{
	struct kvm_irq_level level = { .irq = gsi, .level = 0 };

	/*
	 * Low first, then high. The other way round, an interrupt would be lost whose high falls between the two of
	 * another thread. This way a high that finds the pin high already has been preceded by one that came after both
	 * had gone low: the guest is interrupted after what either of them has to tell. Neither fails for a pin that
	 * exists.
	 */
	ioctl(kvm->vm_fd, KVM_IRQ_LINE, &level);
	level.level = 1;
	ioctl(kvm->vm_fd, KVM_IRQ_LINE, &level);
}

int kvm_sink_fd(struct kvm *kvm, uint64_t address, struct err *err)
{
	return wire_write(kvm, address, 0, 0, err);
}

bool kvm_show_pages(struct kvm *kvm, enum kvm_shown kind, uint64_t address, const void *pages, size_t size)
{
	const struct kvm_userspace_memory_region slot = {
		.slot = SHOWN_SLOTS + kind,
		.flags = KVM_MEM_READONLY,
		.guest_phys_addr = address,
		.memory_size = size,
		.userspace_addr = (uintptr_t)pages,
	};

	return ioctl(kvm->fd, KVM_CHECK_EXTENSION, KVM_CAP_READONLY_MEM) > 0 &&
	       ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) == 0;
}
