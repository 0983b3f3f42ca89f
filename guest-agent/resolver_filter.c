/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/resolver_filter.h"

#include "common/auto.h"
#include "guest-agent/errtext.h"
#include "guest-agent/resolver.h"

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>

enum { DNS_PORT = 53, INSTRUCTIONS_MAX = 16 + RESOLVER_ADDRESSES_MAX };

static const enum bpf_attach_type types[RESOLVER_FILTERS] = {
	BPF_CGROUP_INET4_CONNECT,
	BPF_CGROUP_UDP4_SENDMSG,
	BPF_CGROUP_UDP4_RECVMSG,
	BPF_CGROUP_INET4_GETPEERNAME,
};

static bool leads_there(enum bpf_attach_type type)
{
	return type == BPF_CGROUP_INET4_CONNECT || type == BPF_CGROUP_UDP4_SENDMSG;
}

/* if (port == from && address is one of ours) port = to; return 1; with ports in network order, as the context has. */
static unsigned assemble(struct bpf_insn *out, const uint32_t *addresses, size_t count, uint16_t from, uint16_t to)
{
	const int16_t port = offsetof(struct bpf_sock_addr, user_port);
	const int16_t address = offsetof(struct bpf_sock_addr, user_ip4);
	unsigned n = 0;

	out[n++] = (struct bpf_insn){ BPF_LDX | BPF_MEM | BPF_W, 2, 1, port, 0 };
	out[n++] = (struct bpf_insn){ BPF_JMP32 | BPF_JNE | BPF_K, 2, 0, (int16_t)(count + 4), htons(from) };
	out[n++] = (struct bpf_insn){ BPF_LDX | BPF_MEM | BPF_W, 2, 1, address, 0 };
	for (size_t i = 0; i < count; i++)
		out[n++] = (struct bpf_insn){ BPF_JMP32 | BPF_JEQ | BPF_K, 2, 0, (int16_t)(count - i),
					      (int32_t)addresses[i] };
	out[n++] = (struct bpf_insn){ BPF_JMP | BPF_JA, 0, 0, 2, 0 };
	out[n++] = (struct bpf_insn){ BPF_ALU | BPF_MOV | BPF_K, 2, 0, 0, htons(to) };
	out[n++] = (struct bpf_insn){ BPF_STX | BPF_MEM | BPF_W, 1, 2, port, 0 };
	out[n++] = (struct bpf_insn){ BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1 };
	out[n++] = (struct bpf_insn){ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 };
	return n;
}

static int load(enum bpf_attach_type type, const struct bpf_insn *program, unsigned count)
{
	static const char license[] = "Apache-2.0";
	union bpf_attr attr;

	memset(&attr, 0, sizeof attr);
	attr.prog_type = BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
	attr.expected_attach_type = type;
	attr.insns = (uintptr_t)program;
	attr.insn_cnt = count;
	attr.license = (uintptr_t)license;
	return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
}

static int attach_or_detach(int command, int cgroup_fd, int fd, enum bpf_attach_type type)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof attr);
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)fd;
	attr.attach_type = type;
	/* Containers that make cgroups may add programs there, which run as well. */
	attr.attach_flags = command == BPF_PROG_ATTACH ? BPF_F_ALLOW_MULTI : 0;
	return (int)syscall(SYS_bpf, command, &attr, sizeof attr);
}

int resolver_filter_attach(int cgroup_fd, const uint32_t *addresses, size_t count, uint16_t port,
			   int fds[RESOLVER_FILTERS], struct err *err)
{
	struct bpf_insn program[INSTRUCTIONS_MAX];

	for (int i = 0; i < RESOLVER_FILTERS; i++) {
		bool there = leads_there(types[i]);
		unsigned length = assemble(program, addresses, count, there ? DNS_PORT : port, there ? port : DNS_PORT);
		auto_fd int fd = load(types[i], program, length);

		if (fd < 0)
			return errtext_set(err, "loading a filter for nameservers");
		if (attach_or_detach(BPF_PROG_ATTACH, cgroup_fd, fd, types[i]) < 0)
			return errtext_set(err, "attaching a filter for nameservers");
		fds[i] = take_fd(&fd);
	}
	return 0;
}

void resolver_filter_detach(int cgroup_fd, int fds[RESOLVER_FILTERS])
{
	for (int i = 0; i < RESOLVER_FILTERS; i++) {
		if (fds[i] >= 0)
			(void)attach_or_detach(BPF_PROG_DETACH, cgroup_fd, fds[i], types[i]);
		close_fd(&fds[i]);
	}
}
