/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netlink.h - rtnetlink as runtime, proxy and agent need it: build a request, send it, wait for the kernel's answer.
 *
 * A request is a fixed buffer; one that does not fit is our own bug (assert). All functions work on a socket that
 * belongs to the network namespace it was opened in. Failures are errno values, as the kernel gave them.
 */
#ifndef BULKHEAD_NETLINK_H
#define BULKHEAD_NETLINK_H

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>

enum { NETLINK_REQUEST_MAX = 4096 };

struct netlink_request {
	_Alignas(4) uint8_t bytes[NETLINK_REQUEST_MAX];
	size_t length;
};

/* A socket for requests; -1 with errno. */
int netlink_open(void);

/* `head` is the fixed part after struct nlmsghdr. NLM_F_REQUEST is added to `flags`. */
void netlink_begin(struct netlink_request *request, uint16_t type, uint16_t flags, const void *head, size_t length);
void netlink_put(struct netlink_request *request, uint16_t type, const void *data, size_t length);
void netlink_put32(struct netlink_request *request, uint16_t type, uint32_t value);
void netlink_put_text(struct netlink_request *request, uint16_t type, const char *text);

/* Attributes between these two are inside of one of `type`. */
size_t netlink_nest(struct netlink_request *request, uint16_t type);
void netlink_nest_end(struct netlink_request *request, size_t nest);

/* Sends and waits for the acknowledgement. 0, or -1 with errno. */
int netlink_call(int fd, struct netlink_request *request);

/*
 * Sends and hands every message of the answer to `each`, whose fixed part and attributes lie behind the header, checked
 * to be `head_length` bytes at least. Stops when it returns non-zero, and returns that (the socket is then not to be
 * used any more); else 0, or -1 with errno.
 */
int netlink_dump(int fd, struct netlink_request *request, size_t head_length,
		 int (*each)(const struct nlmsghdr *message, void *arg), void *arg);

/*
 * Fills table[0 .. count) with the attributes found after the fixed part, the last of each type; others are NULL. Each
 * lies whole inside the message.
 */
void netlink_attributes(const struct nlmsghdr *message, size_t head_length, const struct rtattr **table,
			unsigned count);

/* The attribute as a number; `otherwise` if it is not there or too short. */
uint32_t netlink_get32(const struct rtattr *attribute, uint32_t otherwise);

#endif
