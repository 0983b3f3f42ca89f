/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nameservers.h - the nameservers of a container that only the host can reach.
 *
 * An engine may run one inside of the container's network namespace, on a loopback address (Docker: 127.0.0.11). Those
 * are the ones that resolv.conf names and that something on the host's side of the namespace is bound to; a nameserver
 * on 127.0.0.1 that the container runs itself is in the guest, and none of ours.
 */
#ifndef BULKHEAD_RUNTIME_NAMESERVERS_H
#define BULKHEAD_RUNTIME_NAMESERVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct oci_config;

enum { NAMESERVERS_MAX = 4 };

struct nameservers {
	uint32_t addresses[NAMESERVERS_MAX]; /* IPv4, network order */
	size_t count;
};

/* The file that the container sees as /etc/resolv.conf; -1: none that is ordinary. */
int nameservers_open_conf(const struct oci_config *config, const char *rootfs);

/* UDP sockets of the network namespace that the caller is in, to be read as often as one likes; -1 with errno. */
int nameservers_open_sockets(void);

/* Reads both from their beginnings. -1 as either: none. */
void nameservers_find(int conf_fd, int sockets_fd, struct nameservers *out);

bool nameservers_are_same(const struct nameservers *one, const struct nameservers *other);
bool nameservers_have(const struct nameservers *nameservers, uint32_t address);

#endif
