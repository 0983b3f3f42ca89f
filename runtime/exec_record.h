/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec_record.h - ROOT/ID/exec/EXEC, one line "pid start-time" for each exec's proxy, so that `ps` knows them.
 *
 * Written by the command, removed by the proxy at its end; one whose proxy was killed is recognised by its start time
 * and ignored.
 */
#ifndef BULKHEAD_RUNTIME_EXEC_RECORD_H
#define BULKHEAD_RUNTIME_EXEC_RECORD_H

#include <sys/types.h>

struct err;

int exec_record_write(int dirfd, const char *exec, pid_t pid, struct err *err);

/* For a failure; the proxy removes it otherwise. */
void exec_record_remove(int dirfd, const char *exec);

/* The living ones, at most `max`; returns their number. */
size_t exec_record_read(int dirfd, pid_t *pids, size_t max);

#endif
