/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps one empty VM alive for as long as the test host runs.
 *
 * With the first VM that appears, and with the last one that goes, KVM switches a branch in the scheduler by patching
 * the running kernel. QEMU's emulated processors can go on executing the trap instruction of such a patch after it is
 * gone, each on its own thread, and then the host stands still with both processors busy: about once in 500 VMs. As long
 * as there is one VM, nothing is patched.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(void)
{
	int kvm = -1;

	/* The module may still be loading. */
	for (int tries = 0; tries < 200 && (kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC)) < 0; tries++)
		usleep(50000);
	if (kvm < 0 || ioctl(kvm, KVM_CREATE_VM, 0) < 0)
		return 1;
	for (;;)
		pause();
}
