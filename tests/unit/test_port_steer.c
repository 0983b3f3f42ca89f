/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to any loopback port arrive at one socket. Needs root and BPF; skipped without. */
#include "runtime/port_steer.h"

#include "common/auto.h"
#include "common/err.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct port_steer steer = { .listen_fd = -1, .link_fd = -1 };

static int enter_network(void **state)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };

	(void)state;
	if (unshare(CLONE_NEWNET) < 0)
		return 0; /* opening will say why it cannot be */
	auto_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return ioctl(fd, SIOCSIFFLAGS, &request);
}

static void open_or_skip(bool every_address)
{
	struct err err = ERR_INIT;

	if (geteuid() != 0)
		skip();
	if (port_steer_open(&steer, every_address, &err) == 0)
		return;
	assert_int_equal(steer.listen_fd, -1);
	assert_int_equal(steer.link_fd, -1);
	if (err.code != EPERM && err.code != EINVAL && err.code != ENOSYS)
		fail_msg("%s", err.text);
	print_message("%s\n", err.text);
	skip();
}

/* 0 or errno. */
static int try_connect(const char *address, unsigned port, int *fd)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	bool is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;

	*fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!is_v4)
		assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
	int result = is_v4 ? connect(*fd, (struct sockaddr *)&v4, sizeof v4)
			   : connect(*fd, (struct sockaddr *)&v6, sizeof v6);
	return result == 0 ? 0 : errno;
}

static unsigned accepted_port(void)
{
	unsigned port;
	auto_fd int fd = port_steer_accept(&steer, &port);

	assert_true(fd >= 0);
	return port;
}

static void port_steer_loopback_connections_arrive_with_their_port(void **state)
{
	static const char *const addresses[] = { "127.0.0.1", "127.3.2.1", "::1" };

	(void)state;
	open_or_skip(false);
	for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
		auto_fd int fd = -1;
		int error = try_connect(addresses[i], 8080 + (unsigned)i, &fd);

		if (error == EADDRNOTAVAIL || error == EAFNOSUPPORT)
			continue; /* no IPv6 here */
		assert_int_equal(error, 0);
		assert_int_equal(accepted_port(), 8080 + i);
	}
	port_steer_close(&steer);
}

static void port_steer_ends_with_its_descriptors(void **state)
{
	auto_fd int fd = -1;

	(void)state;
	open_or_skip(false);
	port_steer_close(&steer);
	assert_int_equal(try_connect("127.0.0.1", 8080, &fd), ECONNREFUSED);
}

static void add_address(const char *text)
{
	auto_fd int dummy = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_name = "lo:1" };
	struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;

	address->sin_family = AF_INET;
	assert_int_equal(inet_pton(AF_INET, text, &address->sin_addr), 1);
	assert_int_equal(ioctl(dummy, SIOCSIFADDR, &request), 0);
}

static void port_steer_leaves_other_addresses_alone(void **state)
{
	auto_fd int fd = -1;

	(void)state;
	open_or_skip(false);
	add_address("10.1.2.3");
	assert_int_equal(try_connect("10.1.2.3", 8080, &fd), ECONNREFUSED);

	/* The socket's own port can be reached by that address, and leads nowhere. */
	struct sockaddr_storage own;
	socklen_t length = sizeof own;
	unsigned port;
	auto_fd int direct = -1;
	assert_int_equal(getsockname(steer.listen_fd, (struct sockaddr *)&own, &length), 0);
	port = ntohs(((struct sockaddr_in *)&own)->sin_port);
	if (try_connect("10.1.2.3", port, &direct) == 0)
		assert_int_equal(port_steer_accept(&steer, &port), -1);
	port_steer_close(&steer);
}

static void port_steer_takes_every_address_where_it_is_to(void **state)
{
	auto_fd int ours = -1, loopback = -1;

	(void)state;
	open_or_skip(true);
	add_address("10.1.2.3");
	assert_int_equal(try_connect("10.1.2.3", 8081, &ours), 0);
	assert_int_equal(accepted_port(), 8081);
	assert_int_equal(try_connect("127.0.0.1", 8082, &loopback), 0);
	assert_int_equal(accepted_port(), 8082);
	port_steer_close(&steer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(port_steer_loopback_connections_arrive_with_their_port),
		cmocka_unit_test(port_steer_ends_with_its_descriptors),
		cmocka_unit_test(port_steer_leaves_other_addresses_alone),
		cmocka_unit_test(port_steer_takes_every_address_where_it_is_to),
	};

	return cmocka_run_group_tests_name("runtime/port_steer", tests, enter_network, NULL);
}
