/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/port_steer.h"

#include "common/auto.h"
#include "common/err.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BACKLOG = 64, MAP_KEY_OFFSET = -4 };

static int bpf(int command, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, command, attr, sizeof *attr);
}

/*
 * An IPv6 socket takes IPv4 too, if it is bound to no address; a host without IPv6 has only the other kind. What comes
 * to it by an address that is not meant is turned away when it is accepted.
 */
static int open_listener(struct err *err)
{
	const struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT };
	const struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int flags = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, off = 0;
	auto_fd int fd = socket(AF_INET6, flags, 0);

	if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0 ||
	    bind(fd, (const struct sockaddr *)&v6, sizeof v6) < 0) {
		close_fd(&fd);
		fd = socket(AF_INET, flags, 0);
		if (fd < 0 || bind(fd, (const struct sockaddr *)&v4, sizeof v4) < 0)
			return err_set_errno(err, "cannot listen on the loopback");
	}
	if (listen(fd, BACKLOG) < 0)
		return err_set_errno(err, "cannot listen on the loopback");
	return take_fd(&fd);
}

/* The program finds the socket in a map, which refers to it without keeping it open. */
static int make_map(int listen_fd, struct err *err)
{
	union bpf_attr attr = { .map_type = BPF_MAP_TYPE_SOCKMAP, .key_size = 4, .value_size = 8, .max_entries = 1 };
	uint64_t value = (uint64_t)listen_fd;
	uint32_t key = 0;
	auto_fd int fd = bpf(BPF_MAP_CREATE, &attr);

	if (fd < 0)
		return err_set_errno(err, "cannot make a BPF map");
	memset(&attr, 0, sizeof attr);
	attr.map_fd = (uint32_t)fd;
	attr.key = (uintptr_t)&key;
	attr.value = (uintptr_t)&value;
	if (bpf(BPF_MAP_UPDATE_ELEM, &attr) < 0)
		return err_set_errno(err, "cannot put a socket into a BPF map");
	return take_fd(&fd);
}

#define INSN(c, d, s, o, i) ((struct bpf_insn){ .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })
#define FIELD(name) ((int16_t)offsetof(struct bpf_sk_lookup, name))
/* Forward, over so many instructions, if the field in r2 is (not) the number. */
#define IF_NOT(number, skip) INSN(BPF_JMP32 | BPF_JNE | BPF_K, 2, 0, (skip), (int32_t)(number))
#define LOAD(name) INSN(BPF_LDX | BPF_MEM | BPF_W, 2, 6, FIELD(name), 0)

static int load_program(int map_fd, bool every_address, struct err *err)
{
	const int32_t mask = every_address ? 0 : 0xff, network = every_address ? 0 : IN_LOOPBACKNET;
	const struct bpf_insn program[] = {
		/* 0 */ INSN(BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0), /* r6: the question */
		/* 1 */ LOAD(protocol),
		/* 2 */ IF_NOT(IPPROTO_TCP, 29),
		/* 3 */ LOAD(family),
		/* 4 */ IF_NOT(AF_INET, 4),
		/* 5 */ LOAD(local_ip4), /* in network order, as it lies in memory */
		/* 6 */ INSN(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, mask),
		/* 7 */ IF_NOT(network, 24),
		/* 8 */ INSN(BPF_JMP | BPF_JA, 0, 0, 9, 0),
		/* 9 */ IF_NOT(AF_INET6, 22),
		/* 10 */ INSN(BPF_LDX | BPF_MEM | BPF_W, 2, 6, FIELD(local_ip6[0]), 0),
		/* 11 */ IF_NOT(0, 20),
		/* 12 */ INSN(BPF_LDX | BPF_MEM | BPF_W, 2, 6, FIELD(local_ip6[1]), 0),
		/* 13 */ IF_NOT(0, 18),
		/* 14 */ INSN(BPF_LDX | BPF_MEM | BPF_W, 2, 6, FIELD(local_ip6[2]), 0),
		/* 15 */ IF_NOT(0, 16),
		/* 16 */ INSN(BPF_LDX | BPF_MEM | BPF_W, 2, 6, FIELD(local_ip6[3]), 0),
		/* 17 */ IF_NOT(0x01000000, 14), /* ::1 */
		/* 18 */ INSN(BPF_ST | BPF_MEM | BPF_W, 10, 0, MAP_KEY_OFFSET, 0),
		/* 19 */ INSN(BPF_LD | BPF_DW | BPF_IMM, 1, BPF_PSEUDO_MAP_FD, 0, map_fd),
		/* 20 */ INSN(0, 0, 0, 0, 0),
		/* 21 */ INSN(BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0),
		/* 22 */ INSN(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, MAP_KEY_OFFSET),
		/* 23 */ INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem),
		/* 24 */ INSN(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 7, 0), /* the proxy has gone */
		/* 25 */ INSN(BPF_ALU64 | BPF_MOV | BPF_X, 7, 0, 0, 0),
		/* 26 */ INSN(BPF_ALU64 | BPF_MOV | BPF_X, 1, 6, 0, 0),
		/* 27 */ INSN(BPF_ALU64 | BPF_MOV | BPF_X, 2, 7, 0, 0),
		/* 28 */ INSN(BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, 0),
		/* 29 */ INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_sk_assign),
		/* 30 */ INSN(BPF_ALU64 | BPF_MOV | BPF_X, 1, 7, 0, 0),
		/* 31 */ INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_sk_release),
		/* 32: where the jumps end */
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, SK_PASS),
		/* 33 */ INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
	static const char license[] = "Apache-2.0";
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SK_LOOKUP,
		.expected_attach_type = BPF_SK_LOOKUP,
		.insns = (uintptr_t)program,
		.insn_cnt = sizeof program / sizeof *program,
		.license = (uintptr_t)license,
	};
	int fd = bpf(BPF_PROG_LOAD, &attr);

	return fd >= 0 ? fd : err_set_errno(err, "cannot load the BPF program for ports (Linux 5.9 or later)");
}

static int attach(int program_fd, struct err *err)
{
	auto_fd int network_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	if (network_fd < 0)
		return err_set_errno(err, "/proc/self/ns/net");
	union bpf_attr attr = { .link_create = { .prog_fd = (uint32_t)program_fd,
						 .target_fd = (uint32_t)network_fd,
						 .attach_type = BPF_SK_LOOKUP } };
	int fd = bpf(BPF_LINK_CREATE, &attr);

	return fd >= 0 ? fd : err_set_errno(err, "cannot attach the BPF program for ports");
}

int port_steer_open(struct port_steer *steer, bool every_address, struct err *err)
{
	*steer = (struct port_steer){ .listen_fd = -1, .link_fd = -1, .every_address = every_address };
	auto_fd int listen_fd = open_listener(err);
	auto_fd int map_fd = listen_fd < 0 ? -1 : make_map(listen_fd, err);
	auto_fd int program_fd = map_fd < 0 ? -1 : load_program(map_fd, every_address, err);

	steer->link_fd = program_fd < 0 ? -1 : attach(program_fd, err);
	if (steer->link_fd < 0)
		return -1;
	steer->listen_fd = take_fd(&listen_fd);
	return 0;
}

static bool is_loopback(const struct sockaddr_storage *address)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

	if (address->ss_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ||
	       (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) && v6->sin6_addr.s6_addr[12] == IN_LOOPBACKNET);
}

int port_steer_accept(const struct port_steer *steer, unsigned *port)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof address;
	auto_fd int fd = accept4(steer->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0 || getsockname(fd, (struct sockaddr *)&address, &length) < 0 ||
	    (!steer->every_address && !is_loopback(&address)))
		return -1;
	/* At one place in both kinds of address. */
	*port = ntohs(((const struct sockaddr_in *)&address)->sin_port);
	return take_fd(&fd);
}

void port_steer_close(struct port_steer *steer)
{
	close_fd(&steer->link_fd);
	close_fd(&steer->listen_fd);
}
