/* SPDX-License-Identifier: Apache-2.0 */
#include "common/err.h"
#include "vmm/kvm.h"
#include "vmm/snapshot.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

/* The two 8259s, which nobody uses but whose state is there, and the I/O APIC. */
static const uint32_t chips[] = { KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, KVM_IRQCHIP_IOAPIC };

int kvm_save(const struct kvm *kvm, struct snapshot_writer *writer, struct err *err)
{
	struct kvm_clock_data *clock = snapshot_add(writer, SNAPSHOT_CLOCK, 0, sizeof *clock);

	if (!clock)
		return err_set(err, ENOMEM, "out of memory");
	if (ioctl(kvm->vm_fd, KVM_GET_CLOCK, clock))
		return err_set_errno(err, "KVM does not show the guest's clock");
	for (unsigned i = 0; i < sizeof chips / sizeof *chips; i++) {
		struct kvm_irqchip *chip = snapshot_add(writer, SNAPSHOT_IRQCHIP, chips[i], sizeof *chip);

		if (!chip)
			return err_set(err, ENOMEM, "out of memory");
		chip->chip_id = chips[i];
		if (ioctl(kvm->vm_fd, KVM_GET_IRQCHIP, chip))
			return err_set_errno(err, "KVM does not show interrupt controller %u", chips[i]);
	}
	return 0;
}

int kvm_restore(const struct kvm *kvm, const struct snapshot *snapshot, struct err *err)
{
	const struct kvm_clock_data *saved = snapshot_find(snapshot, SNAPSHOT_CLOCK, 0, sizeof *saved, err);
	struct kvm_clock_data clock = { 0 };

	if (!saved)
		return -1;
	/* Without flags: no jump by the time that has passed since. The wall clock is the agent's to set. */
	clock.clock = saved->clock;
	if (ioctl(kvm->vm_fd, KVM_SET_CLOCK, &clock))
		return err_set_errno(err, "KVM refuses the guest's clock");
	for (unsigned i = 0; i < sizeof chips / sizeof *chips; i++) {
		const struct kvm_irqchip *chip = snapshot_find(snapshot, SNAPSHOT_IRQCHIP, chips[i], sizeof *chip, err);

		if (!chip)
			return -1;
		if (chip->chip_id != chips[i])
			return err_set(err, EBADMSG, "the state mixes up interrupt controllers");
		if (ioctl(kvm->vm_fd, KVM_SET_IRQCHIP, chip))
			return err_set_errno(err, "KVM refuses the state of interrupt controller %u", chips[i]);
	}
	return 0;
}
