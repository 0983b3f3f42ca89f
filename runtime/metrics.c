/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/metrics.h"

#include <inttypes.h>
#include <linux/virtio_ids.h>

enum source { OF_VM, OF_GUEST };

/* The plain ones: a number in struct metrics, divided by `unit` (1, or how many make a second). */
static const struct metric {
	const char *name, *type, *help;
	enum source source;
	size_t offset;
	uint64_t unit;
} plain[] = {
#define VM(member) OF_VM, offsetof(struct metrics, vm.member), 1
#define GUEST(member) OF_GUEST, offsetof(struct metrics, member)
	{ "bulkhead_vm_memory_size_bytes", "gauge", "Memory the VM was made with.", VM(memory_size) },
	{ "bulkhead_vm_memory_resident_bytes", "gauge", "Memory of the host that the monitor and its guest occupy.",
	  OF_VM, offsetof(struct metrics, resident_bytes), 1 },
	{ "bulkhead_vm_vcpus", "gauge", "Processors of the VM.", VM(vcpus) },
	{ "bulkhead_vm_paused", "gauge", "1 while the VM is paused.", VM(paused) },
	{ "bulkhead_vm_exits_total", "counter", "Exits from the guest that the monitor handled.", VM(exits) },
	{ "bulkhead_container_cpu_seconds_total", "counter", "Processor time of the container's processes.",
	  GUEST(cpu_usage_us), 1000000 },
	{ "bulkhead_container_memory_bytes", "gauge", "Memory charged to the container in the guest.",
	  GUEST(memory_bytes), 1 },
	{ "bulkhead_container_memory_peak_bytes", "gauge", "The most that was ever charged.", GUEST(memory_peak_bytes),
	  1 },
	{ "bulkhead_container_oom_kills_total", "counter", "Processes killed for want of memory.", GUEST(oom_kills),
	  1 },
	{ "bulkhead_container_processes", "gauge", "Processes and threads.", GUEST(processes), 1 },
#undef VM
#undef GUEST
};

/* The stamps in the order of time, and what lies between each and the one before it that there is. */
static const struct {
	enum vmm_stamp stamp;
	const char *name;
} phases[] = {
	{ VMM_STAMP_TEMPLATE, "setup" },    { VMM_STAMP_RESTORED, "restore" }, { VMM_STAMP_LOADED, "load" },
	{ VMM_STAMP_FIRST_ENTRY, "jail" },  { VMM_STAMP_MODULE, "kernel" },    { VMM_STAMP_AGENT_START, "init" },
	{ VMM_STAMP_AGENT_READY, "agent" },
};

static const char *device_name(uint32_t id)
{
	switch (id) {
	case VIRTIO_ID_NET:
		return "net";
	case VIRTIO_ID_BLOCK:
		return "blk";
	case VIRTIO_ID_RNG:
		return "rng";
	case VIRTIO_ID_BALLOON:
		return "balloon";
	case VIRTIO_ID_VSOCK:
		return "vsock";
	case VIRTIO_ID_MEM:
		return "mem";
	case VIRTIO_ID_FS:
		return "fs";
	default:
		return "other";
	}
}

static void print_head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Exact: a double could not hold every count, and no locale has a say in it. */
static void print_number(FILE *out, uint64_t value, uint64_t unit)
{
	int digits = 0;

	fprintf(out, " %" PRIu64, value / unit);
	for (uint64_t u = unit; u > 1; u /= 10)
		digits++;
	if (digits)
		fprintf(out, ".%0*" PRIu64, digits, value % unit);
	fputc('\n', out);
}

static void print_plain(const struct metric *metric, const struct metrics *list, size_t count, FILE *out)
{
	print_head(out, metric->name, metric->type, metric->help);
	for (size_t i = 0; i < count; i++) {
		if (!(metric->source == OF_VM ? list[i].has_vm : list[i].has_guest))
			continue;
		fprintf(out, "%s{id=\"%s\"}", metric->name, list[i].id);
		print_number(out, *(const uint64_t *)((const char *)&list[i] + metric->offset), metric->unit);
	}
}

static void print_devices(const char *name, const char *help, size_t offset, const struct metrics *list, size_t count,
			  FILE *out)
{
	print_head(out, name, "counter", help);
	for (size_t i = 0; i < count; i++) {
		const struct vmm_device_stats *devices = list[i].details.devices;

		for (unsigned n = 0; list[i].has_vm && n < VMM_DEVICE_KINDS_MAX && devices[n].device_id; n++) {
			fprintf(out, "%s{id=\"%s\",device=\"%s\"}", name, list[i].id,
				device_name(devices[n].device_id));
			print_number(out, *(const uint64_t *)((const char *)&devices[n] + offset), 1);
		}
	}
}

static void print_phases(const struct metrics *list, size_t count, FILE *out)
{
	static const char name[] = "bulkhead_vm_start_phase_seconds";

	print_head(out, name, "gauge", "How long each phase of the VM's start took.");
	for (size_t i = 0; i < count; i++) {
		uint64_t before = list[i].details.stamps[VMM_STAMP_START];

		for (size_t n = 0; list[i].has_vm && n < sizeof phases / sizeof *phases; n++) {
			uint64_t ns = list[i].details.stamps[phases[n].stamp];

			if (!ns || ns < before)
				continue; /* not there, or nonsense */
			fprintf(out, "%s{id=\"%s\",phase=\"%s\"}", name, list[i].id, phases[n].name);
			print_number(out, ns - before, 1000000000);
			before = ns;
		}
	}
}

void metrics_print(const struct metrics *list, size_t count, FILE *out)
{
	print_head(out, "bulkhead_container_info", "gauge", "Always 1; the labels say what there is.");
	for (size_t i = 0; i < count; i++)
		fprintf(out, "bulkhead_container_info{id=\"%s\",status=\"%s\"} 1\n", list[i].id,
			oci_status_name(list[i].status));
	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
		print_plain(&plain[i], list, count, out);
	print_devices("bulkhead_device_requests_total", "Requests of the guest to its devices.",
		      offsetof(struct vmm_device_stats, requests), list, count, out);
	print_devices("bulkhead_device_refused_total", "Requests that were refused because they broke the rules.",
		      offsetof(struct vmm_device_stats, refused), list, count, out);
	print_phases(list, count, out);
}
