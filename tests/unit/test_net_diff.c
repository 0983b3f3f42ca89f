/* SPDX-License-Identifier: Apache-2.0 */
/* What of an interface the guest is told again. */
#include "runtime/net_diff.h"

#include "common/err.h"
#include "common/netlink.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <pb_decode.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void add(agent_NetAddRequest *request, uint32_t type, const struct netlink_request *built)
{
	size_t length = built->length - NLMSG_HDRLEN;
	agent_NetMessage *more = realloc(request->messages, (request->messages_count + 1u) * sizeof *request->messages);

	request->messages = more;
	more += request->messages_count++;
	*more = (agent_NetMessage){ .type = type, .body = malloc(PB_BYTES_ARRAY_T_ALLOCSIZE(length)) };
	more->body->size = (pb_size_t)length;
	memcpy(more->body->bytes, built->bytes + NLMSG_HDRLEN, length);
}

/* `age` and `flags` are what the kernel changes by itself. */
static void add_address(agent_NetAddRequest *request, const char *text, uint32_t age, uint32_t flags)
{
	const struct ifaddrmsg head = { .ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_flags = (uint8_t)flags };
	const struct ifa_cacheinfo info = { .tstamp = age };
	struct netlink_request built;

	netlink_begin(&built, RTM_NEWADDR, 0, &head, sizeof head);
	netlink_put32(&built, IFA_LOCAL, inet_addr(text));
	netlink_put32(&built, IFA_FLAGS, flags);
	netlink_put(&built, IFA_CACHEINFO, &info, sizeof info);
	add(request, RTM_NEWADDR, &built);
}

static void add_route(agent_NetAddRequest *request, const char *gateway, uint32_t age)
{
	const struct rtmsg head = { .rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN };
	const struct rta_cacheinfo info = { .rta_lastuse = age };
	struct netlink_request built;

	netlink_begin(&built, RTM_NEWROUTE, 0, &head, sizeof head);
	netlink_put32(&built, RTA_GATEWAY, inet_addr(gateway));
	netlink_put(&built, RTA_CACHEINFO, &info, sizeof info);
	add(request, RTM_NEWROUTE, &built);
}

static void release(agent_NetAddRequest *request)
{
	pb_release(agent_NetAddRequest_fields, request);
}

static void test_diff_ages_are_no_difference(void **state)
{
	agent_NetAddRequest before = { .mtu = 1500 }, now = { .mtu = 1500 }, update;
	struct err err = ERR_INIT;

	(void)state;
	add_address(&before, "10.0.0.2", 1, IFA_F_TENTATIVE);
	add_route(&before, "10.0.0.1", 1);
	add_route(&now, "10.0.0.1", 700);
	add_address(&now, "10.0.0.2", 900, IFA_F_PERMANENT);
	assert_int_equal(net_diff(&before, &now, &update, &err), 0);
	net_diff_release(&update);
	release(&before);
	release(&now);
}

static void test_diff_old_goes_before_new_comes(void **state)
{
	agent_NetAddRequest before = { .mtu = 1500, .address = 5 }, now = { .mtu = 1500, .address = 5 }, update;
	struct err err = ERR_INIT;

	(void)state;
	add_address(&before, "10.0.0.2", 1, 0);
	add_route(&before, "10.0.0.1", 1);
	add_address(&now, "10.0.0.2", 1, 0);
	add_route(&now, "10.0.0.9", 1);
	assert_int_equal(net_diff(&before, &now, &update, &err), 1);
	assert_int_equal(update.messages_count, 2);
	assert_int_equal(update.messages[0].type, RTM_DELROUTE);
	assert_ptr_equal(update.messages[0].body, before.messages[1].body);
	assert_int_equal(update.messages[1].type, RTM_NEWROUTE);
	assert_ptr_equal(update.messages[1].body, now.messages[1].body);
	assert_int_equal(update.address, 0);
	net_diff_release(&update);
	release(&before);
	release(&now);
}

static void test_diff_mtu_is_a_difference(void **state)
{
	agent_NetAddRequest before = { .mtu = 1500 }, now = { .mtu = 9000 }, update;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(net_diff(&before, &now, &update, &err), 1);
	assert_int_equal(update.mtu, 9000);
	assert_int_equal(update.messages_count, 0);
	net_diff_release(&update);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_diff_ages_are_no_difference),
		cmocka_unit_test(test_diff_old_goes_before_new_comes),
		cmocka_unit_test(test_diff_mtu_is_a_difference),
	};

	return cmocka_run_group_tests_name("net_diff", tests, NULL, NULL);
}
