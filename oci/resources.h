/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resources.h - linux.resources, of config.json or of `update`, and what they become in cgroup v2.
 *
 * Limits are enforced twice: exactly, by the container's cgroup in the guest, so that an out-of-memory kill hits one
 * container; and around the whole VM by the cgroup of proxy and monitor on the host. What concerns the host's CPUs,
 * memory nodes and disks (cpuset, io) exists only on the host's side. Conversions from v1 values are runc's.
 */
#ifndef BULKHEAD_OCI_RESOURCES_H
#define BULKHEAD_OCI_RESOURCES_H

#include "oci/devices.h"
#include "oci/strings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct oci_json;

struct oci_int {
	bool is_set;
	int64_t value;
};

struct oci_uint {
	bool is_set;
	uint64_t value;
};

struct oci_memory {
	struct oci_int limit, reservation, swap; /* bytes; -1: no limit */
	bool check_before_update;
};

struct oci_cpu {
	struct oci_uint shares, period, burst;
	struct oci_int quota, idle;
	char *cpus, *mems; /* of the host */
};

struct oci_hugepage_limit {
	char *size; /* "2MB" */
	uint64_t limit;
};

struct oci_block_weight {
	uint32_t major, minor;
	uint32_t weight;
};

enum oci_throttle_kind {
	OCI_THROTTLE_READ_BPS,
	OCI_THROTTLE_WRITE_BPS,
	OCI_THROTTLE_READ_IOPS,
	OCI_THROTTLE_WRITE_IOPS,
	OCI_THROTTLE_COUNT
};

struct oci_block_throttle {
	enum oci_throttle_kind kind;
	uint32_t major, minor;
	uint64_t rate;
};

struct oci_block_io {
	uint32_t weight; /* 10..1000; 0: not set */
	struct oci_block_weight *weights;
	size_t weight_count;
	struct oci_block_throttle *throttles;
	size_t throttle_count;
};

struct oci_resources {
	struct oci_memory memory;
	struct oci_cpu cpu;
	struct oci_int pids; /* -1: no limit */
	struct oci_hugepage_limit *hugepages;
	size_t hugepage_count;
	struct oci_block_io block_io;
	struct oci_device_rules device_rules;
	struct oci_map unified;
};

/* `at` is the resources object. Destroy `out` also after a failure. */
int oci_resources_parse(const struct oci_json *at, struct oci_resources *out, struct err *err);
/* The document of `update --resources`: a file, or "-" for standard input. */
int oci_resources_load(const char *file, struct oci_resources **out, struct err *err);
void oci_resources_fini(struct oci_resources *resources);    /* what it holds */
void oci_resources_destroy(struct oci_resources *resources); /* and itself; NULL is fine */

/* Files of the container's cgroup in the guest, and their values, to be written in this order. */
int oci_resources_guest_files(const struct oci_resources *resources, struct oci_map *out, struct err *err);

/*
 * Files of the cgroup v2 of proxy and monitor on the host; a value of several lines is written line by line. `overhead`
 * is what the VM takes beyond the container's memory, in bytes: it is added to every memory limit. No pids limit: the
 * monitor's threads are not the container's.
 */
int oci_resources_host_files(const struct oci_resources *resources, uint64_t overhead, struct oci_map *out,
			     struct err *err);

#endif
