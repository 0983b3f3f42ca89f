/* SPDX-License-Identifier: Apache-2.0 */
/*
 * devices.h - linux.devices (nodes to make) and linux.resources.devices (rules), and the rules as a program.
 *
 * Rules are those of the v1 device controller: every access starts denied, rules apply in order, the last one that
 * speaks of a device and an access decides, an unset number is every number, type "a" is every device and access.
 * After the container's rules come the defaults every runtime gives: making any node, using the default devices.
 */
#ifndef BULKHEAD_OCI_DEVICES_H
#define BULKHEAD_OCI_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bpf_insn;
struct err;
struct oci_json;

struct oci_device {
	char *path; /* absolute, in the container */
	char type;  /* 'c', 'b' or 'p' */
	uint32_t major, minor;
	uint32_t mode; /* permissions */
	uint32_t uid, gid;
};

struct oci_devices {
	struct oci_device *items;
	size_t count;
};

enum { OCI_DEVICE_READ = 1, OCI_DEVICE_WRITE = 2, OCI_DEVICE_MKNOD = 4 };

struct oci_device_rule {
	bool allow;
	char type;            /* 'a', 'c' or 'b' */
	int64_t major, minor; /* -1: every */
	unsigned access;      /* OCI_DEVICE_* */
};

struct oci_device_rules {
	struct oci_device_rule *items;
	size_t count;
};

int oci_devices_parse(const struct oci_json *linux_object, struct oci_devices *out, struct err *err);
void oci_devices_destroy(struct oci_devices *devices);

int oci_device_rules_parse(const struct oci_json *resources, struct oci_device_rules *out, struct err *err);
void oci_device_rules_destroy(struct oci_device_rules *rules);

/* The rules allow everything (a privileged container). */
bool oci_device_rules_allow_all(const struct oci_device_rules *rules);

/* What the rules allow of one device: OCI_DEVICE_*. The defaults are not looked at. */
unsigned oci_device_rules_access(const struct oci_device_rules *rules, char type, uint32_t major, uint32_t minor);

/*
 * The program for BPF_PROG_TYPE_CGROUP_DEVICE: *out is malloc'ed, NULL with *count 0 where everything is allowed and
 * no program is needed. Refused when it would exceed what a kernel loads.
 */
int oci_device_filter(const struct oci_device_rules *rules, struct bpf_insn **out, size_t *count, struct err *err);

#endif
