/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net_diff.h"

#include "common/err.h"
#include "common/netlink.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { ATTRIBUTES_MAX = 64, BODY_MAX = 2048 };

/* Per kind: where its attributes begin, how much of the fixed part counts, and which attributes do not. */
static const struct {
	uint32_t add, remove;
	size_t head_length, head_counts;
	uint64_t without;
} kinds[] = {
	/* The flags come after family and prefix length, and follow duplicate address detection. */
	{ RTM_NEWADDR, RTM_DELADDR, sizeof(struct ifaddrmsg), offsetof(struct ifaddrmsg, ifa_flags),
	  1ull << IFA_FLAGS | 1ull << IFA_CACHEINFO },
	{ RTM_NEWROUTE, RTM_DELROUTE, sizeof(struct rtmsg), sizeof(struct rtmsg), 1ull << RTA_CACHEINFO },
	{ RTM_NEWNEIGH, RTM_DELNEIGH, sizeof(struct ndmsg), sizeof(struct ndmsg),
	  1ull << NDA_CACHEINFO | 1ull << NDA_PROBES },
};

static int kind_of(uint32_t type)
{
	for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (kinds[i].add == type)
			return (int)i;
	return -1;
}

/* The message as netlink_attributes wants it, with a header. */
struct whole {
	_Alignas(4) uint8_t bytes[NLMSG_HDRLEN + BODY_MAX];
	const struct rtattr *table[ATTRIBUTES_MAX];
};

static bool take_apart(const agent_NetMessage *message, size_t head_length, struct whole *out)
{
	struct nlmsghdr *header = (struct nlmsghdr *)(void *)out->bytes;

	if (message->body->size < head_length || message->body->size > BODY_MAX)
		return false;
	memset(header, 0, sizeof *header);
	header->nlmsg_len = NLMSG_HDRLEN + message->body->size;
	memcpy(out->bytes + NLMSG_HDRLEN, message->body->bytes, message->body->size);
	netlink_attributes(header, head_length, out->table, ATTRIBUTES_MAX);
	return true;
}

static bool is_same_attribute(const struct rtattr *one, const struct rtattr *other)
{
	if (!one || !other)
		return one == other;
	return RTA_PAYLOAD(one) == RTA_PAYLOAD(other) && memcmp(RTA_DATA(one), RTA_DATA(other), RTA_PAYLOAD(one)) == 0;
}

static bool is_same(const agent_NetMessage *one, const agent_NetMessage *other)
{
	struct whole left, right;
	int kind = kind_of(one->type);

	if (kind < 0 || one->type != other->type || !take_apart(one, kinds[kind].head_length, &left) ||
	    !take_apart(other, kinds[kind].head_length, &right) ||
	    memcmp(one->body->bytes, other->body->bytes, kinds[kind].head_counts) != 0)
		return false;
	for (unsigned i = 0; i < ATTRIBUTES_MAX; i++)
		if (!(kinds[kind].without & 1ull << i) && !is_same_attribute(left.table[i], right.table[i]))
			return false;
	return true;
}

static bool has(const agent_NetAddRequest *request, const agent_NetMessage *message)
{
	for (size_t i = 0; i < request->messages_count; i++)
		if (is_same(&request->messages[i], message))
			return true;
	return false;
}

int net_diff(const agent_NetAddRequest *before, const agent_NetAddRequest *now, agent_NetAddRequest *update,
	     struct err *err)
{
	*update = *now;
	update->address = update->irq = 0; /* the device is known */
	update->messages_count = 0;
	update->messages = calloc((size_t)before->messages_count + now->messages_count + 1, sizeof *update->messages);
	if (!update->messages)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < before->messages_count; i++) {
		int kind = kind_of(before->messages[i].type);

		if (kind < 0 || has(now, &before->messages[i]))
			continue;
		agent_NetMessage *message = &update->messages[update->messages_count++];
		*message = before->messages[i];
		message->type = kinds[kind].remove;
	}
	for (size_t i = 0; i < now->messages_count; i++)
		if (!has(before, &now->messages[i]))
			update->messages[update->messages_count++] = now->messages[i];
	return update->messages_count > 0 || before->mtu != now->mtu || before->disable_ipv6 != now->disable_ipv6;
}

void net_diff_release(agent_NetAddRequest *update)
{
	free(update->messages);
	update->messages = NULL;
	update->messages_count = 0;
}
