/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.h - the `process` object of config.json, and process.json of exec: one process, as the specification
 * describes it, names turned into the kernel's numbers.
 */
#ifndef BULKHEAD_OCI_PROCESS_H
#define BULKHEAD_OCI_PROCESS_H

#include "oci/capabilities.h"
#include "oci/strings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct oci_json;

struct oci_rlimit {
	uint32_t resource; /* RLIMIT_* */
	uint64_t soft, hard;
};

struct oci_scheduler {
	uint32_t policy; /* SCHED_* */
	int32_t nice;
	uint32_t priority;
	uint64_t flags; /* SCHED_FLAG_* */
	uint64_t runtime, deadline, period;
};

struct oci_process {
	struct oci_strings args; /* at least one */
	struct oci_strings env;
	char *cwd; /* absolute */
	uint32_t uid, gid;
	uint32_t *additional_gids;
	size_t additional_gid_count;
	bool has_umask;
	uint32_t umask;
	bool terminal;
	uint32_t rows, columns; /* 0: unknown */
	bool plain_newlines;    /* the terminal adds no carriage returns; not in the document */
	bool has_capabilities;
	struct oci_capabilities capabilities;
	struct oci_rlimit *rlimits;
	size_t rlimit_count;
	bool no_new_privileges;
	bool has_oom_score_adj;
	int32_t oom_score_adj;
	bool has_scheduler;
	struct oci_scheduler scheduler;
	bool has_io_priority;
	uint32_t io_priority;                   /* as ioprio_set(2) takes it */
	char *apparmor_profile, *selinux_label; /* NULL: none; not applied in the guest */
	uint32_t *cpu_affinity;                 /* exec only: execCPUAffinity.final, or else .initial; CPU numbers */
	size_t cpu_affinity_count;
};

/* Reads `at`, an object. Destroy `out` also after a failure. */
int oci_process_parse(const struct oci_json *at, struct oci_process *out, struct err *err);

/* A process.json. */
int oci_process_load(const char *file, struct oci_process **out, struct err *err);

/* A deep copy, for exec's flags, which begin with the container's own process. */
struct oci_process *oci_process_copy(const struct oci_process *from);

/*
 * What a process.json does not mention is the container's, as with runc: capabilities, resource limits, umask and OOM
 * score. The rest has defaults of its own.
 */
void oci_process_inherit(struct oci_process *process, const struct oci_process *container);

void oci_process_fini(struct oci_process *process);    /* what it holds */
void oci_process_destroy(struct oci_process *process); /* and itself; NULL is fine */

#endif
