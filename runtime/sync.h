/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync.h - what passes between a command and the proxy it starts, until the proxy stands on its own.
 *
 *     command                          proxy
 *        |  fork, exec  ---------------> |  (session, cgroup, network namespace are set by then)
 *        | <-------------------- JOINED  |  the monitor runs; hooks may run
 *        | <--------------------- STAMP  |  any time: a moment of the VM's life, for --trace
 *        |  GO  -----------------------> |  hooks are through
 *        | <-- CREATED  or  FAILED text  |
 *        |  DONE  ---------------------> |  pid file written: the proxy stays
 *        | <---------------------- LOST  |  any time later: the VM died, and why
 *
 * If the command goes away before DONE, the proxy tears everything down. If it goes away later, nothing happens.
 *
 * One packet of a SOCK_SEQPACKET socket pair each. Both ends are ours and from one build.
 */
#ifndef BULKHEAD_RUNTIME_SYNC_H
#define BULKHEAD_RUNTIME_SYNC_H

#include "common/err.h"

#include <stdint.h>

enum sync_kind {
	SYNC_JOINED = 1,  /* number: the monitor's pid, 0 for an exec */
	SYNC_STAMP = 2,   /* code: enum vmm_stamp; number: CLOCK_MONOTONIC in ns */
	SYNC_CREATED = 3, /* number: pid in the guest */
	SYNC_FAILED = 4,  /* code, text */
	SYNC_LOST = 5,    /* text */
	SYNC_GO = 6,
	SYNC_DONE = 7,
};

struct sync_message {
	uint32_t kind;
	uint32_t code;
	int64_t number;
	char text[ERR_TEXT_MAX];
};

/* Whole messages only, without their unused text. Return 0 or -1 with errno; receiving at the end: -1 with EPIPE. */
int sync_send(int fd, const struct sync_message *message);
int sync_receive(int fd, struct sync_message *message);

#endif
