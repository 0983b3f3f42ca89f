/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver.h - nameservers on loopback addresses that are on the host's side of the container's network namespace.
 *
 * Docker's resolver listens on 127.0.0.11 there, and the guest has a loopback of its own. So the agent listens on that
 * address, on a port that no container wants, has the kernel lead there what goes to port 53 (resolver_filter.h), and
 * hands each question to the proxy, which asks the nameserver and sends the answer back (PROTO_LOOKUP):
 *
 *     program -- 127.0.0.11:53 => agent == resolver connection ==> proxy -- 127.0.0.11:53, in the namespace --> Docker
 *
 * The programs that ask are hostile: there is room for a fixed number of questions and connections. A question that
 * finds none is dropped, as on a wire; of the connections the oldest goes. The proxy answers every question, if need be
 * with nothing, so questions end without a clock here.
 */
#ifndef BULKHEAD_AGENT_RESOLVER_H
#define BULKHEAD_AGENT_RESOLVER_H

#include <stddef.h>
#include <stdint.h>

struct agent;
struct conn;
struct err;

enum { RESOLVER_ADDRESSES_MAX = 4 };

/* Listens in place of these from now on, and of no others. `addresses` in network order. */
int resolver_set(struct agent *agent, const uint32_t *addresses, size_t count, struct err *err);

/* The proxy is there, and gets the questions; and gone, as perhaps another connection. */
void resolver_connected(struct agent *agent, struct conn *conn);
void resolver_disconnected(struct agent *agent, const struct conn *conn);

/* The answer to question `id`; empty: there is none. */
void resolver_answered(struct agent *agent, uint32_t id, const uint8_t *message, size_t length);

#endif
