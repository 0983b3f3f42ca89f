/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources as files of cgroup v2. The numbers in config.json are those of v1 for historical reasons; how they become
 * v2's is what runc does, so that a container gets the same share of a machine from either.
 */
#include "oci/resources.h"

#include "oci/alloc.h"

#include "common/auto.h"
#include "common/err.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { PERIOD_DEFAULT_US = 100000 };

static void __attribute__((format(printf, 3, 4))) put(struct oci_map *out, const char *file, const char *format, ...)
{
	char *value = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&value, format, args) < 0)
		value = NULL;
	va_end(args);
	oci_map_set(out, file, value ? value : "");
	free(value);
}

/* -1 is no limit. */
static void put_limit(struct oci_map *out, const char *file, int64_t limit)
{
	if (limit < 0)
		put(out, file, "max");
	else
		put(out, file, "%" PRId64, limit);
}

static int64_t add_overhead(int64_t limit, uint64_t overhead)
{
	return limit < 0 || overhead > (uint64_t)(INT64_MAX - limit) ? -1 : limit + (int64_t)overhead;
}

/*
 * v1 limits memory and swap together, v2 each on its own. 0 is "not set", as for runc. The guest has no swap: there a
 * limit of memory is the limit of both, and the file does not exist. The host may swap out the VM's memory.
 */
static int put_memory(const struct oci_memory *m, bool host, uint64_t overhead, struct oci_map *out, struct err *err)
{
	int64_t limit = m->limit.value, swap = m->swap.value;

	/* No limit of memory and nothing said of swap: no limit of swap either, which is v1's behaviour. */
	if (limit == -1 && swap == 0)
		swap = -1;
	if (swap > 0 && limit <= 0)
		return err_set(err, EINVAL, "linux.resources.memory.swap: cannot be limited without a limit of memory");
	if (swap > 0 && swap < limit)
		return err_set(err, EINVAL,
			       "linux.resources.memory.swap: %" PRId64 " is below the limit of memory %" PRId64
			       ", it counts memory and swap together",
			       swap, limit);
	/* Swap first: it is checked against nothing, while a lower memory.max makes the kernel reclaim at once. */
	if (host && swap != 0)
		put_limit(out, "memory.swap.max", swap < 0 ? -1 : swap - limit);
	if (limit != 0)
		put_limit(out, "memory.max", add_overhead(limit, overhead));
	if (m->reservation.value != 0)
		put_limit(out, "memory.low", add_overhead(m->reservation.value, overhead));
	return 0;
}

/* cpu.weight is 1..10000, shares are 2..262144, and the ends meet. */
static uint64_t weight_of_shares(uint64_t shares)
{
	if (shares < 2)
		shares = 2;
	if (shares > 262144)
		shares = 262144;
	return 1 + (shares - 2) * 9999 / 262142;
}

static void put_cpu(const struct oci_cpu *cpu, struct oci_map *out)
{
	uint64_t period = cpu->period.value ? cpu->period.value : PERIOD_DEFAULT_US;

	if (cpu->idle.is_set)
		put(out, "cpu.idle", "%" PRId64, cpu->idle.value);
	/* A weight cannot be set for an idle group. */
	if (cpu->shares.value != 0 && cpu->idle.value == 0)
		put(out, "cpu.weight", "%" PRIu64, weight_of_shares(cpu->shares.value));
	/* The kernel refuses a quota below the burst and a burst above the quota: on an update, the order decides. */
	if (cpu->burst.is_set && cpu->burst.value == 0)
		put(out, "cpu.max.burst", "0");
	if (cpu->quota.value > 0)
		put(out, "cpu.max", "%" PRId64 " %" PRIu64, cpu->quota.value, period);
	else if (cpu->quota.value < 0 || cpu->period.value != 0)
		put(out, "cpu.max", "max %" PRIu64, period);
	if (cpu->burst.value != 0)
		put(out, "cpu.max.burst", "%" PRIu64, cpu->burst.value);
}

/* These files speak of the host's CPUs, memory nodes, disks and swap: not for the guest. */
static bool is_host_only(const char *name)
{
	return strncmp(name, "cpuset.", 7) == 0 || strncmp(name, "io.", 3) == 0 ||
	       strncmp(name, "memory.swap.", 12) == 0;
}

/* Last, verbatim: what is said in v2's words overrides what was converted. The CPU is bounded on both sides. */
static void put_unified(const struct oci_map *unified, bool host, struct oci_map *out)
{
	for (size_t i = 0; i < unified->count; i++) {
		const char *name = unified->items[i].key;
		bool wanted = host ? is_host_only(name) || strncmp(name, "cpu.", 4) == 0 : !is_host_only(name);

		if (wanted)
			oci_map_set(out, name, unified->items[i].value);
	}
}

int oci_resources_guest_files(const struct oci_resources *r, struct oci_map *out, struct err *err)
{
	if (put_memory(&r->memory, false, 0, out, err) < 0)
		return -1;
	put_cpu(&r->cpu, out);
	/* 0 is "not set"; anything below is no limit. */
	if (r->pids.value != 0)
		put_limit(out, "pids.max", r->pids.value);
	for (size_t i = 0; i < r->hugepage_count; i++) {
		/* A kubelet names every size of the host's; of those that the guest has not, nothing is what it gets.
		 */
		if (r->hugepages[i].limit == 0 && strcmp(r->hugepages[i].size, "2MB") != 0)
			continue;
		/* Pages in use, and pages promised to a mapping: without the second, touching one ends in SIGBUS. */
		auto_free char *file = oci_format("hugetlb.%s.max", r->hugepages[i].size);
		auto_free char *reserved = oci_format("hugetlb.%s.rsvd.max", r->hugepages[i].size);

		put(out, file, "%" PRIu64, r->hugepages[i].limit);
		put(out, reserved, "%" PRIu64, r->hugepages[i].limit);
	}
	put_unified(&r->unified, false, out);
	return 0;
}

/* blkio.weight is 10..1000, io.weight 1..10000, and the ends meet. */
static uint64_t io_weight(uint32_t weight)
{
	return weight < 10 ? 1 : 1 + (uint64_t)(weight - 10) * 9999 / 990;
}

static void put_block_io(const struct oci_block_io *io, struct oci_map *out)
{
	static const char *const names[OCI_THROTTLE_COUNT] = {
		[OCI_THROTTLE_READ_BPS] = "rbps",
		[OCI_THROTTLE_WRITE_BPS] = "wbps",
		[OCI_THROTTLE_READ_IOPS] = "riops",
		[OCI_THROTTLE_WRITE_IOPS] = "wiops",
	};
	auto_free char *lines = NULL;
	size_t size = 0;
	FILE *text = open_memstream(&lines, &size);

	if (!text)
		return;
	/* A line a device, and a write(2) a line: the writer splits at line ends. */
	for (size_t i = 0; i < io->throttle_count; i++) {
		const struct oci_block_throttle *t = &io->throttles[i];

		fprintf(text, "%s%u:%u %s=", i ? "\n" : "", t->major, t->minor, names[t->kind]);
		if (t->rate)
			fprintf(text, "%" PRIu64, t->rate);
		else
			fputs("max", text);
	}
	fclose(text);
	if (size)
		oci_map_set(out, "io.max", lines);

	auto_free char *weights = io->weight ? oci_format("default %" PRIu64, io_weight(io->weight)) : NULL;
	for (size_t i = 0; i < io->weight_count; i++) {
		const struct oci_block_weight *w = &io->weights[i];

		if (w->weight == 0)
			continue;
		char *more = oci_format("%s%s%u:%u %" PRIu64, weights ? weights : "", weights ? "\n" : "", w->major,
					w->minor, io_weight(w->weight));

		free(weights);
		weights = more;
	}
	if (weights)
		oci_map_set(out, "io.weight", weights);
}

int oci_resources_host_files(const struct oci_resources *r, uint64_t overhead, struct oci_map *out, struct err *err)
{
	if (put_memory(&r->memory, true, overhead, out, err) < 0)
		return -1;
	put_cpu(&r->cpu, out);
	if (r->cpu.cpus && r->cpu.cpus[0])
		oci_map_set(out, "cpuset.cpus", r->cpu.cpus);
	if (r->cpu.mems && r->cpu.mems[0])
		oci_map_set(out, "cpuset.mems", r->cpu.mems);
	put_block_io(&r->block_io, out);
	put_unified(&r->unified, true, out);
	return 0;
}
