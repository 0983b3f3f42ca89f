/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and attributes; and that the kernel, which needs no rights for questions, understands them. */
#include "common/netlink.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct nlmsghdr *finish(struct netlink_request *request)
{
	struct nlmsghdr *header = (struct nlmsghdr *)(void *)request->bytes;

	header->nlmsg_len = (uint32_t)request->length;
	return header;
}

static void test_netlink_attributes_come_back(void **state)
{
	const struct ifinfomsg link = { .ifi_index = 7 };
	const struct rtattr *table[IFLA_MAX + 1];
	struct netlink_request request;

	(void)state;
	netlink_begin(&request, RTM_NEWLINK, 0, &link, sizeof link);
	netlink_put_text(&request, IFLA_IFNAME, "eth0");
	netlink_put32(&request, IFLA_MTU, 1400);
	netlink_attributes(finish(&request), sizeof link, table, IFLA_MAX + 1);
	assert_string_equal(RTA_DATA(table[IFLA_IFNAME]), "eth0");
	assert_int_equal(netlink_get32(table[IFLA_MTU], 0), 1400);
	assert_null(table[IFLA_ADDRESS]);
	assert_int_equal(netlink_get32(table[IFLA_ADDRESS], 5), 5);
}

static void test_netlink_nest_holds_what_was_put_in(void **state)
{
	const struct ifinfomsg link = { 0 };
	const struct rtattr *table[IFLA_MAX + 1];
	struct netlink_request request;

	(void)state;
	netlink_begin(&request, RTM_NEWLINK, 0, &link, sizeof link);
	size_t nest = netlink_nest(&request, IFLA_LINKINFO);
	netlink_put_text(&request, 1, "veth");
	netlink_nest_end(&request, nest);
	netlink_put32(&request, IFLA_MTU, 9000);
	netlink_attributes(finish(&request), sizeof link, table, IFLA_MAX + 1);
	assert_int_equal(RTA_PAYLOAD(table[IFLA_LINKINFO]), RTA_SPACE(5));
	assert_int_equal(netlink_get32(table[IFLA_MTU], 0), 9000);
}

static void test_netlink_attribute_longer_than_its_message_is_not_seen(void **state)
{
	const struct ifinfomsg link = { 0 };
	const struct rtattr *table[IFLA_MAX + 1];
	struct netlink_request request;

	(void)state;
	netlink_begin(&request, RTM_NEWLINK, 0, &link, sizeof link);
	size_t at = request.length;
	netlink_put32(&request, IFLA_MTU, 1);
	((struct rtattr *)(void *)(request.bytes + at))->rta_len = 200;
	netlink_attributes(finish(&request), sizeof link, table, IFLA_MAX + 1);
	assert_null(table[IFLA_MTU]);
	((struct nlmsghdr *)(void *)request.bytes)->nlmsg_len = NLMSG_HDRLEN;
	netlink_attributes((struct nlmsghdr *)(void *)request.bytes, sizeof link, table, IFLA_MAX + 1);
	assert_null(table[IFLA_MTU]);
}

static int look_for_loopback(const struct nlmsghdr *message, void *arg)
{
	const struct rtattr *table[IFLA_MAX + 1];

	netlink_attributes(message, sizeof(struct ifinfomsg), table, IFLA_MAX + 1);
	if (table[IFLA_IFNAME] && strcmp(RTA_DATA(table[IFLA_IFNAME]), "lo") == 0)
		*(int *)arg = 1;
	return 0;
}

static void test_netlink_kernel_answers(void **state)
{
	const struct ifinfomsg any = { 0 }, none = { .ifi_index = 0x7fffffff };
	struct netlink_request request;
	int found = 0, fd = netlink_open();

	(void)state;
	if (fd < 0)
		skip();
	netlink_begin(&request, RTM_GETLINK, 0, &any, sizeof any);
	assert_int_equal(netlink_dump(fd, &request, sizeof any, look_for_loopback, &found), 0);
	assert_int_equal(found, 1);
	netlink_begin(&request, RTM_GETLINK, 0, &none, sizeof none);
	assert_int_equal(netlink_call(fd, &request), -1);
	assert_int_equal(errno, ENODEV);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_netlink_attributes_come_back),
		cmocka_unit_test(test_netlink_nest_holds_what_was_put_in),
		cmocka_unit_test(test_netlink_attribute_longer_than_its_message_is_not_seen),
		cmocka_unit_test(test_netlink_kernel_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
