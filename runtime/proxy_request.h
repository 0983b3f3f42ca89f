/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_request.h - CREATE, EXEC or ADOPT, as the command left it in a file: the proxy passes it on without reading it.
 */
#ifndef BULKHEAD_RUNTIME_PROXY_REQUEST_H
#define BULKHEAD_RUNTIME_PROXY_REQUEST_H

#include <stdint.h>

struct channel;
struct err;

/* Takes the fd. */
int proxy_request_send(struct channel *channel, int fd, uint16_t type, uint32_t id, struct err *err);

#endif
