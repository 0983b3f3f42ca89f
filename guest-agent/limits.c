/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/limits.h"

#include "guest-agent/errtext.h"
#include "guest-agent/files.h"
#include "guest-agent/kernel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum { IOPRIO_WHO_PROCESS = 1, CPUS_MAX = 1024, OWN_FILES = 524288 };

/*
 * What a process has that nobody set limits for. The kernel gives its first process, and so all of them, much less than
 * what programs are used to from a host's service manager. Processes are counted by the pids controller.
 */
static const struct {
	uint32_t resource;
	uint64_t soft, hard;
} default_rlimits[] = {
	{ RLIMIT_NOFILE, 1024, 524288 },
	{ RLIMIT_NPROC, UINT64_MAX, UINT64_MAX },
};

static void set_default_rlimits(pid_t pid)
{
	for (size_t i = 0; i < sizeof default_rlimits / sizeof *default_rlimits; i++) {
		uint64_t limit[2] = { default_rlimits[i].soft, default_rlimits[i].hard };

		/* Only a test machine may refuse; then it stays as it is. */
		syscall(SYS_prlimit64, pid, default_rlimits[i].resource, limit, NULL);
	}
}

static int set_rlimits(pid_t pid, const agent_Process *process, struct err *err)
{
	for (size_t i = 0; i < process->rlimits_count; i++) {
		const agent_Rlimit *from = &process->rlimits[i];
		/* As prlimit64(2) has it: all ones is "no limit", on the wire too. */
		uint64_t limit[2] = { from->soft, from->hard };

		if (syscall(SYS_prlimit64, pid, from->resource, limit, NULL) < 0)
			return errtext_set(err, "setting resource limit %u to %llu, %llu", from->resource,
					   (unsigned long long)from->soft, (unsigned long long)from->hard);
	}
	return 0;
}

static int set_scheduler(pid_t pid, const agent_Scheduler *from, struct err *err)
{
	struct kernel_sched_attr attr = {
		.size = sizeof attr,
		.policy = from->policy,
		.flags = from->flags,
		.nice = from->nice,
		.priority = from->priority,
		.runtime = from->runtime,
		.deadline = from->deadline,
		.period = from->period,
	};

	if (kernel_sched_setattr(pid, &attr) < 0)
		return errtext_set(err, "setting scheduler policy %u", from->policy);
	return 0;
}

static int set_affinity(pid_t pid, const agent_Process *process, struct err *err)
{
	unsigned long mask[CPUS_MAX / (8 * sizeof(unsigned long))] = { 0 };

	for (size_t i = 0; i < process->cpu_affinity_count; i++) {
		uint32_t cpu = process->cpu_affinity[i];

		if (cpu >= CPUS_MAX)
			return err_set(err, EINVAL, "CPU affinity: there is no CPU %u", cpu);
		mask[cpu / (8 * sizeof *mask)] |= 1ul << cpu % (8 * sizeof *mask);
	}
	if (syscall(SYS_sched_setaffinity, pid, sizeof mask, mask) < 0)
		return errtext_set(err, "setting CPU affinity");
	return 0;
}

static int set_oom_score(pid_t pid, int32_t adjustment, struct err *err)
{
	char path[64], value[16];

	snprintf(path, sizeof path, "/proc/%d/oom_score_adj", pid);
	snprintf(value, sizeof value, "%d", adjustment);
	if (file_write_at(AT_FDCWD, path, value) < 0)
		return errtext_set(err, "setting oom_score_adj to %d", adjustment);
	return 0;
}

void limits_raise_own(void)
{
	const struct rlimit files = { OWN_FILES, OWN_FILES };

	/* Not fatal: then a few hundred processes' streams are too many, and making one more says so. */
	(void)setrlimit(RLIMIT_NOFILE, &files);
}

int limits_apply(pid_t pid, const agent_Process *process, struct err *err)
{
	set_default_rlimits(pid);
	if (set_rlimits(pid, process, err) < 0)
		return -1;
	if (process->has_oom_score_adj && set_oom_score(pid, process->oom_score_adj, err) < 0)
		return -1;
	if (process->has_scheduler && set_scheduler(pid, &process->scheduler, err) < 0)
		return -1;
	if (process->has_io_priority && syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid, process->io_priority) < 0)
		return errtext_set(err, "setting I/O priority");
	if (process->cpu_affinity_count && set_affinity(pid, process, err) < 0)
		return -1;
	return 0;
}
