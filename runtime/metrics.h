/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.h - what is known of containers and their VMs, in Prometheus' text format (version 0.0.4).
 *
 * The numbers of a VM are its monitor's, those of a container its guest's: hostile, but numbers. Names and labels are
 * ours.
 */
#ifndef BULKHEAD_RUNTIME_METRICS_H
#define BULKHEAD_RUNTIME_METRICS_H

#include "oci/state.h"

#include "vmm/vmm_api.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* One container at one moment. */
struct metrics {
	const char *id; /* borrowed */
	enum oci_status status;

	bool has_vm; /* the monitor answered */
	struct vmm_stats vm;
	struct vmm_details details;
	uint64_t resident_bytes; /* of the monitor, the guest's memory as far as it was used included */

	bool has_guest; /* the agent answered: not while the VM is paused */
	uint64_t cpu_usage_us, memory_bytes, memory_peak_bytes, oom_kills, processes;
};

/* Every metric once, with the samples of all containers below it, as the format wants it. */
void metrics_print(const struct metrics *list, size_t count, FILE *out);

#endif
