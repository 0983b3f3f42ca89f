/* SPDX-License-Identifier: Apache-2.0 */
/* Which nameservers of resolv.conf are on the host's side of a network namespace. */
#include "runtime/nameservers.h"

#include "common/auto.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

static int file_of(const char *text)
{
	int fd = memfd_create("text", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	return fd;
}

/* 127.0.0.11 and 127.0.0.53 are bound, as is 0.0.0.0. */
static const char sockets[] =
	"   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer "
	"drops\n"
	" 1518: 0B00007F:D136 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 13070 2 0 0\n"
	"    3: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 13071 2 0 0\n"
	"    4: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 13072 2 0 0\n";

static const struct {
	const char *conf, *sockets;
	const char *found; /* addresses, a space after each */
} cases[] = {
	{ "nameserver 127.0.0.11\noptions ndots:0\n", sockets, "127.0.0.11 " },
	{ "search x\n\nnameserver\t127.0.0.53 # ours\nnameserver 127.0.0.11", sockets, "127.0.0.53 127.0.0.11 " },
	{ "nameserver 127.0.0.11\nnameserver 127.0.0.11\n", sockets, "127.0.0.11 " },
	/* In the guest, or nowhere. */
	{ "nameserver 127.0.0.1\n", sockets, "" },
	{ "nameserver 127.0.0.11\n", "", "" },
	/* Not on the loopback: the guest gets there by itself. */
	{ "nameserver 10.0.0.1\nnameserver 0.0.0.0\n", sockets, "" },
	{ "nameserver ::1\n", sockets, "" },
	/* No nameservers at all. */
	{ "# nameserver 127.0.0.11\n nameserver 127.0.0.11\nnameservers 127.0.0.11\nnameserver\n", sockets, "" },
	{ "nameserver 127.0.0.11.5\nnameserver 127.0.0.110000000000000000000000\nnameserver x\n", sockets, "" },
	{ "", sockets, "" },
};

static void test_nameservers_found_are_named_and_bound(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		auto_fd int conf_fd = file_of(cases[i].conf);
		auto_fd int sockets_fd = file_of(cases[i].sockets);
		struct nameservers found;
		char text[200] = "", one[INET_ADDRSTRLEN];

		/* Twice: both files are read from their beginnings. */
		nameservers_find(conf_fd, sockets_fd, &found);
		nameservers_find(conf_fd, sockets_fd, &found);
		for (size_t j = 0; j < found.count; j++)
			strcat(strcat(text, inet_ntop(AF_INET, &found.addresses[j], one, sizeof one)), " ");
		assert_string_equal(text, cases[i].found);
	}
}

static void test_nameservers_are_few(void **state)
{
	char conf[4096] = "", table[8192] = "heading\n";
	struct nameservers found;

	(void)state;
	for (unsigned i = 1; i <= 20; i++) {
		snprintf(conf + strlen(conf), sizeof conf - strlen(conf), "nameserver 127.0.1.%u\n", i);
		snprintf(table + strlen(table), sizeof table - strlen(table), " %u: %02X01007F:0035 x\n", i, i);
	}
	auto_fd int conf_fd = file_of(conf);
	auto_fd int table_fd = file_of(table);
	nameservers_find(conf_fd, table_fd, &found);
	assert_int_equal(found.count, NAMESERVERS_MAX);
	assert_int_equal(found.addresses[3], inet_addr("127.0.1.4"));
	assert_true(nameservers_have(&found, inet_addr("127.0.1.1")));
	assert_false(nameservers_have(&found, inet_addr("127.0.1.5")));
}

static void test_nameservers_without_files_are_none(void **state)
{
	struct nameservers found = { .count = 3 };

	(void)state;
	nameservers_find(-1, -1, &found);
	assert_int_equal(found.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nameservers_found_are_named_and_bound),
		cmocka_unit_test(test_nameservers_are_few),
		cmocka_unit_test(test_nameservers_without_files_are_none),
	};

	return cmocka_run_group_tests_name("nameservers", tests, NULL, NULL);
}
