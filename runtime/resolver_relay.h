/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver_relay.h - asks nameservers in the container's network namespace, where the proxy is, what the guest's
 * programs want to know (guest-agent/resolver.h, PROTO_LOOKUP).
 *
 * The guest is hostile. It can have DNS messages sent to port 53 of the addresses it was told of, which are loopback
 * addresses of its own namespace, and to nothing else; RELAY_QUESTIONS_MAX at a time, each for RELAY_SECONDS, in a
 * socket of its own. Further ones are answered with nothing at once. Answers that it does not fetch end the connection.
 */
#ifndef BULKHEAD_RUNTIME_RESOLVER_RELAY_H
#define BULKHEAD_RUNTIME_RESOLVER_RELAY_H

#include <stdint.h>

struct err;
struct loop;
struct nameservers;
struct resolver_relay;

enum { RELAY_QUESTIONS_MAX = 64, RELAY_SECONDS = 10 };

/* Takes `socket_fd`, a connection to the VM's vsock socket. Once it has ended, the relay does nothing more. */
struct resolver_relay *resolver_relay_create(struct loop *loop, int socket_fd, struct err *err);
void resolver_relay_destroy(struct resolver_relay *relay); /* NULL is fine */

/* The nameservers that may be asked from now on. */
void resolver_relay_allow(struct resolver_relay *relay, const struct nameservers *nameservers);

#endif
