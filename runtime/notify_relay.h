/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify_relay.h - what a guest has to say to the host's service manager, as far as it is the container's business.
 *
 * The guest's messages come as lines of a stream (guest-agent/notify.h) and go out as datagrams of ours, which the
 * service manager believes as root's: with MAINPID it would signal any process of the host that is named there, with
 * FDSTORE or NOTIFYACCESS it would keep or allow things. So only lines about the service's own state go on. A service
 * manager that does not read loses messages, and stops nothing.
 */
#ifndef BULKHEAD_RUNTIME_NOTIFY_RELAY_H
#define BULKHEAD_RUNTIME_NOTIFY_RELAY_H

struct err;
struct loop;
struct notify_relay;

typedef void notify_relay_done(void *arg);

/* Takes both sockets, also on failure. `done` is called when the guest's has ended; it may destroy the relay. */
struct notify_relay *notify_relay_create(struct loop *loop, int source, int destination, notify_relay_done *done,
					 void *arg, struct err *err);

/* NULL is fine. */
void notify_relay_destroy(struct notify_relay *relay);

#endif
