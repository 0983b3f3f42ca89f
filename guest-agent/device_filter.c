/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/device_filter.h"

#include "common/auto.h"
#include "guest-agent/errtext.h"

#include <linux/bpf.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

int device_filter_attach(int cgroup_fd, const void *program, size_t length, struct err *err)
{
	static const char license[] = "Apache-2.0";
	union bpf_attr attr;

	memset(&attr, 0, sizeof attr);
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insns = (uintptr_t)program;
	attr.insn_cnt = (uint32_t)(length / sizeof(struct bpf_insn));
	attr.license = (uintptr_t)license;
	auto_fd int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
	if (fd < 0)
		return errtext_set(err, "loading the device filter (%u instructions)", attr.insn_cnt);

	memset(&attr, 0, sizeof attr);
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	/* A container that manages its own sub-cgroups (systemd) may add filters there, and all of them apply. */
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof attr) < 0)
		return errtext_set(err, "attaching the device filter");
	return 0;
}
