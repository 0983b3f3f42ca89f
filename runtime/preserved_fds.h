/* SPDX-License-Identifier: Apache-2.0 */
/*
 * preserved_fds.h - descriptors of the caller, from 3 on, that the container's process is to have at the same numbers.
 *
 * The proxy holds them, and each is a stream to the guest: a pipe or a file one way, a connected stream socket both
 * ways. What cannot be a stream is refused by name.
 */
#ifndef BULKHEAD_RUNTIME_PRESERVED_FDS_H
#define BULKHEAD_RUNTIME_PRESERVED_FDS_H

#include "agent.pb.h"

struct err;
struct option_number;

/* What `fd` can do, of enum proto_stream_way, or -1 with the reason. */
int preserved_fd_way(int fd, struct err *err);

/*
 * Checks the descriptors that --preserve-fds and LISTEN_FDS count together and adds them to `out`. Those that are
 * missing at the end are left out, unless all are. Returns their number, or -1.
 */
int preserved_fds_describe(const struct option_number *option, int listen_fds, agent_Process *out, struct err *err);

/* How many our caller passes as sd_listen_fds(3) has it; 0: none. */
int preserved_fds_listen_count(void);

#endif
