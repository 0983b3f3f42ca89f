/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device_filter.h - the container's device rules: a ready BPF program from the host, attached to the cgroup.
 */
#ifndef BULKHEAD_AGENT_DEVICE_FILTER_H
#define BULKHEAD_AGENT_DEVICE_FILTER_H

#include <stddef.h>

struct err;

/* `program` is struct bpf_insn[], `length` in bytes. It stays attached as long as the cgroup is. */
int device_filter_attach(int cgroup_fd, const void *program, size_t length, struct err *err);

#endif
