/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/trace.h"

#include "common/auto.h"
#include "common/err.h"

#include "vmm/vmm_api.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { MARKS_MAX = 64 };

static struct {
	const char *file;
	size_t count;
	struct mark {
		const char *name;
		uint64_t ns;
	} marks[MARKS_MAX];
} trace;

static const char *const vmm_stamps[VMM_STAMP_COUNT] = {
	[VMM_STAMP_START] = "monitor started",         [VMM_STAMP_LOADED] = "kernel loaded",
	[VMM_STAMP_FIRST_ENTRY] = "first guest entry", [VMM_STAMP_MODULE] = "guest module",
	[VMM_STAMP_AGENT_START] = "agent started",     [VMM_STAMP_AGENT_READY] = "agent ready",
	[VMM_STAMP_TEMPLATE] = "template read",        [VMM_STAMP_RESTORED] = "template restored",
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void trace_open(const char *file)
{
	trace.file = file;
	trace_mark("command start");
}

void trace_mark(const char *name)
{
	if (trace.file)
		trace_mark_at(name, now_ns());
}

void trace_mark_at(const char *name, uint64_t monotonic_ns)
{
	if (trace.file && trace.count < MARKS_MAX)
		trace.marks[trace.count++] = (struct mark){ name, monotonic_ns };
}

void trace_vmm_stamp(uint32_t stamp, uint64_t monotonic_ns)
{
	if (stamp < VMM_STAMP_COUNT && vmm_stamps[stamp])
		trace_mark_at(vmm_stamps[stamp], monotonic_ns);
}

static int by_time(const void *a, const void *b)
{
	const struct mark *one = a, *two = b;

	return (one->ns > two->ns) - (one->ns < two->ns);
}

int trace_close(struct err *err)
{
	if (!trace.file)
		return 0;
	trace_mark("exit");
	qsort(trace.marks, trace.count, sizeof trace.marks[0], by_time);
	auto_file FILE *out = fopen(trace.file, "we");
	if (!out)
		return err_set_errno(err, "--trace: %s", trace.file);
	fprintf(out, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
	for (size_t i = 0; i < trace.count; i++) {
		const struct mark *mark = &trace.marks[i];
		uint64_t end = i + 1 < trace.count ? trace.marks[i + 1].ns : mark->ns;

		/* Times are microseconds; the exact stamp is an argument. */
		fprintf(out,
			"{\"name\":\"%s\",\"ph\":\"X\",\"ts\":%" PRIu64 ".%03u,\"dur\":%" PRIu64
			".%03u,\"pid\":%d,\"tid\":1,\"args\":{\"ns\":%" PRIu64 "}}%s\n",
			mark->name, mark->ns / 1000, (unsigned)(mark->ns % 1000), (end - mark->ns) / 1000,
			(unsigned)((end - mark->ns) % 1000), (int)getpid(), mark->ns, i + 1 < trace.count ? "," : "");
	}
	fprintf(out, "]}\n");
	if (fflush(out) != 0)
		return err_set_errno(err, "--trace: %s", trace.file);
	trace.file = NULL;
	return 0;
}
