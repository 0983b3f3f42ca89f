/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint_stats.h - the one file that CRIU leaves in --work-path and that somebody looks for: Podman puts it into
 * its archives, complains if it is not there, and shows what it says (`podman container checkpoint --print-stats`).
 */
#ifndef BULKHEAD_RUNTIME_CHECKPOINT_STATS_H
#define BULKHEAD_RUNTIME_CHECKPOINT_STATS_H

#include <stdint.h>

struct err;

struct checkpoint_stats {
	uint64_t freezing_us; /* until the container stood still */
	uint64_t frozen_us;   /* as long as it did */
	uint64_t dump_us;     /* the VM into the image's files */
	uint64_t write_us;    /* these onto the disk */
	uint64_t pages;       /* of the VM's memory */
	uint64_t pages_written;
};

uint64_t checkpoint_stats_now(void);

/* In CRIU's form (an image with one StatsEntry), as `directory`/stats-dump. */
int checkpoint_stats_write(const struct checkpoint_stats *stats, const char *directory, struct err *err);

#endif
