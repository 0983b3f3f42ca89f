/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_client.h - a command's connection to the agent: one request, its reply, always with a time limit.
 *
 * What comes back is the guest's word: it is checked frame by frame, and an answer that makes no sense ends the
 * connection with an error that says so.
 */
#ifndef BULKHEAD_RUNTIME_AGENT_CLIENT_H
#define BULKHEAD_RUNTIME_AGENT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct pb_msgdesc_s;

struct agent_client {
	int fd;
	uint32_t next_id;
	bool greeted;
};

/* Long enough for a guest that is busy on a busy host; a hostile one can hold up a command that long. */
enum { AGENT_TIMEOUT_MS = 60 * 1000 };

/* Connects through the socket in the state directory and says HELLO; the answer comes with the first call's. */
int agent_client_open(struct agent_client *client, int dirfd, int timeout_ms, struct err *err);
void agent_client_close(struct agent_client *client);

/*
 * One request. The reply's type must be request + 1; an ERROR from the guest becomes the error. `reply_fields` NULL:
 * the reply is empty. Release the reply with pb_release.
 */
int agent_client_call(struct agent_client *client, uint16_t type, const struct pb_msgdesc_s *fields,
		      const void *request, const struct pb_msgdesc_s *reply_fields, void *reply, int timeout_ms,
		      struct err *err);

#endif
