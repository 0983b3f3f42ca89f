/* SPDX-License-Identifier: Apache-2.0 */
#include "common/netlink.h"

#include "common/auto.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum { RECEIVE_MAX = 32 << 10 }; /* the kernel fills no larger piece of a dump */

int netlink_open(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	auto_fd int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
		return -1;
	return take_fd(&fd);
}

static void append(struct netlink_request *request, const void *data, size_t length)
{
	size_t padded = NLMSG_ALIGN(length);

	assert(padded <= sizeof request->bytes - request->length);
	memset(request->bytes + request->length, 0, padded);
	if (length)
		memcpy(request->bytes + request->length, data, length);
	request->length += padded;
}

void netlink_begin(struct netlink_request *request, uint16_t type, uint16_t flags, const void *head, size_t length)
{
	const struct nlmsghdr header = { .nlmsg_type = type, .nlmsg_flags = (uint16_t)(flags | NLM_F_REQUEST) };

	request->length = 0;
	append(request, &header, sizeof header);
	append(request, head, length);
}

void netlink_put(struct netlink_request *request, uint16_t type, const void *data, size_t length)
{
	const struct rtattr attribute = { .rta_len = (uint16_t)RTA_LENGTH(length), .rta_type = type };

	append(request, &attribute, sizeof attribute);
	append(request, data, length);
}

void netlink_put32(struct netlink_request *request, uint16_t type, uint32_t value)
{
	netlink_put(request, type, &value, sizeof value);
}

void netlink_put_text(struct netlink_request *request, uint16_t type, const char *text)
{
	netlink_put(request, type, text, strlen(text) + 1);
}

size_t netlink_nest(struct netlink_request *request, uint16_t type)
{
	size_t nest = request->length;

	netlink_put(request, type, NULL, 0);
	return nest;
}

void netlink_nest_end(struct netlink_request *request, size_t nest)
{
	struct rtattr *attribute = (struct rtattr *)(void *)(request->bytes + nest);

	attribute->rta_len = (uint16_t)(request->length - nest);
}

/* Answers carry the number of their request, so that one that was given up is not taken for the next. */
static int send_request(int fd, struct netlink_request *request, uint16_t more_flags, uint32_t *sequence)
{
	static uint32_t last;
	struct nlmsghdr *header = (struct nlmsghdr *)(void *)request->bytes;
	ssize_t n;

	header->nlmsg_len = (uint32_t)request->length;
	header->nlmsg_flags |= more_flags;
	header->nlmsg_seq = *sequence = ++last;
	do
		n = send(fd, request->bytes, request->length, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -1 : 0;
}

static ssize_t receive(int fd, uint8_t *bytes)
{
	ssize_t n;

	do
		n = recv(fd, bytes, RECEIVE_MAX, 0);
	while (n < 0 && errno == EINTR);
	return n;
}

/* 1: that was the end, and all is well. -1: that was the end, errno says what the kernel said. 0: something else. */
static int look_for_end(const struct nlmsghdr *message)
{
	int code = 0;

	if (message->nlmsg_type == NLMSG_DONE)
		return 1;
	if (message->nlmsg_type != NLMSG_ERROR)
		return 0;
	if (message->nlmsg_len >= NLMSG_LENGTH(sizeof code))
		memcpy(&code, NLMSG_DATA(message), sizeof code);
	errno = -code;
	return code ? -1 : 1;
}

static int await(int fd, uint32_t sequence, size_t head_length, int (*each)(const struct nlmsghdr *, void *), void *arg)
{
	auto_free uint8_t *bytes = malloc(RECEIVE_MAX);

	if (!bytes)
		return -1;
	for (;;) {
		ssize_t n = receive(fd, bytes);

		if (n < 0)
			return -1;
		const struct nlmsghdr *message = (const void *)bytes;
		for (unsigned left = (unsigned)n; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
			if (message->nlmsg_seq != sequence)
				continue;
			int ended = look_for_end(message);
			if (ended)
				return ended < 0 ? -1 : 0;
			if (each && message->nlmsg_len >= NLMSG_LENGTH(head_length)) {
				int result = each(message, arg);

				if (result)
					return result;
			}
		}
	}
}

int netlink_call(int fd, struct netlink_request *request)
{
	uint32_t sequence;

	if (send_request(fd, request, NLM_F_ACK, &sequence) < 0)
		return -1;
	return await(fd, sequence, 0, NULL, NULL);
}

int netlink_dump(int fd, struct netlink_request *request, size_t head_length,
		 int (*each)(const struct nlmsghdr *message, void *arg), void *arg)
{
	uint32_t sequence;

	if (send_request(fd, request, NLM_F_DUMP, &sequence) < 0)
		return -1;
	return await(fd, sequence, head_length, each, arg);
}

void netlink_attributes(const struct nlmsghdr *message, size_t head_length, const struct rtattr **table, unsigned count)
{
	size_t used = NLMSG_SPACE(head_length);

	memset(table, 0, count * sizeof *table);
	if (message->nlmsg_len < used)
		return;
	const struct rtattr *attribute = (const void *)((const uint8_t *)message + used);
	for (unsigned left = (unsigned)(message->nlmsg_len - used); RTA_OK(attribute, left);
	     attribute = RTA_NEXT(attribute, left)) {
		unsigned type = attribute->rta_type & NLA_TYPE_MASK;

		if (type < count)
			table[type] = attribute;
	}
}

uint32_t netlink_get32(const struct rtattr *attribute, uint32_t otherwise)
{
	uint32_t value = otherwise;

	if (attribute && RTA_PAYLOAD(attribute) >= sizeof value)
		memcpy(&value, RTA_DATA(attribute), sizeof value);
	return value;
}
