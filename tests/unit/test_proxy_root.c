/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directories that a confined proxy keeps: no way up, no writing; and what `bulkhead` packs for its mount
 * namespace. Needs the right to make mounts: skipped without.
 */
#include "runtime/proxy_devices.h"
#include "runtime/proxy_root.h"

#include "common/err.h"

#include "oci/describe.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64];
static int plain_fd;

static int setup(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/test_proxy_root.XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	plain_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return mkdirat(plain_fd, "exec", 0700);
}

static int teardown(void **state)
{
	(void)state;
	unlinkat(plain_fd, "socket", 0);
	unlinkat(plain_fd, "exec/record", 0);
	unlinkat(plain_fd, "exec", AT_REMOVEDIR);
	close(plain_fd);
	return rmdir(directory);
}

static bool leads_up(int fd)
{
	struct stat here, up;

	assert_int_equal(fstat(fd, &here), 0);
	assert_int_equal(fstatat(fd, "..", &up, 0), 0);
	return here.st_dev != up.st_dev || here.st_ino != up.st_ino;
}

static int detach(const char *name, bool read_only)
{
	struct err err = ERR_INIT;
	int fd = proxy_root_detach(plain_fd, name, read_only, &err);

	if (fd < 0 && err.code == EPERM)
		skip();
	if (fd < 0)
		fail_msg("%s", err.text);
	return fd;
}

static void test_proxy_root_detached_directory_leads_nowhere_and_is_not_written(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = detach("", true), listener, client;

	(void)state;
	assert_true(leads_up(plain_fd));
	assert_false(leads_up(fd));
	assert_int_equal(openat(fd, "state.json", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), -1);
	assert_int_equal(errno, EROFS);
	assert_int_equal(unlinkat(fd, "exec", AT_REMOVEDIR), -1);
	/* A socket in it can still be connected to. */
	snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", directory);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(listener, 1), 0);
	snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/socket", fd);
	client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
	close(client);
	close(listener);
	close(fd);
}

static void test_proxy_root_directory_of_records_is_written_and_leads_nowhere(void **state)
{
	int fd = detach("exec", false), record;

	(void)state;
	assert_false(leads_up(fd));
	record = openat(fd, "record", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(record >= 0);
	close(record);
	assert_int_equal(unlinkat(fd, "record", 0), 0);
	close(fd);
}

static void test_proxy_devices_are_two_and_lead_nowhere(void **state)
{
	struct err err = ERR_INIT;
	struct stat tun, vhost;
	int fd = proxy_devices_open(&err);

	(void)state;
	assert_true(fd >= 0);
	if (leads_up(fd)) /* no right to make it: /dev itself */
		skip();
	assert_int_equal(fstatat(fd, "net/tun", &tun, 0), 0);
	assert_int_equal(fstatat(fd, "vhost-net", &vhost, 0), 0);
	assert_true(S_ISCHR(tun.st_mode) && tun.st_rdev == makedev(10, 200));
	assert_true(S_ISCHR(vhost.st_mode) && vhost.st_rdev == makedev(10, 238));
	assert_int_equal(faccessat(fd, "null", F_OK, 0), -1);
	assert_int_equal(mknodat(fd, "mem", S_IFCHR | 0600, makedev(1, 1)), -1);
	assert_int_equal(errno, EROFS);
	close(fd);
}

static int receive(int socket, char path[64])
{
	int fd = -1;
	char control[CMSG_SPACE(sizeof fd)];
	struct iovec data = { .iov_base = path, .iov_len = 63 };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
	};
	ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (n <= 0)
		return -1;
	path[n] = '\0';
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
	return fd;
}

/* A copy to a tmpfs would end in the root file system below it, where the guest does not see it. */
static void test_proxy_root_memory_of_the_guest_is_empty_and_not_written(void **state)
{
	agent_Mount mounts[] = {
		{ .destination = (char[]){ "/tmp/" }, .type = (char[]){ "tmpfs" } },
		{ .destination = (char[]){ "/tmp/a/volume" },
		  .type = (char[]){ "bind" },
		  .source = (char[]){ "volume" },
		  .share = true },
		{ .destination = (char[]){ "/tmp/a/file" },
		  .type = (char[]){ "bind" },
		  .source = (char[]){ "none" },
		  .share = true,
		  .source_is_file = true },
		{ .destination = (char[]){ "/tmpfile" }, .type = (char[]){ "ramfs" } },
		{ .destination = (char[]){ "/proc" }, .type = (char[]){ "proc" } },
	};
	const agent_Container container = { .mounts = mounts, .mounts_count = sizeof mounts / sizeof *mounts };
	struct oci_share items[] = { { .name = "root", .path = directory }, { .name = "volume", .path = directory } };
	const struct oci_shares shares = { .items = items, .count = 2 };
	struct err err = ERR_INIT;
	struct stat st;
	char path[64];
	int packed = proxy_root_pack(&shares, &container, &err), fd;

	(void)state;
	if (packed < 0 && err.code == EPERM)
		skip();
	if (packed < 0)
		fail_msg("%s", err.text);
	close(receive(packed, path));
	assert_string_equal(path, "/");
	fd = receive(packed, path);
	assert_string_equal(path, "/tmp/");
	assert_false(leads_up(fd));
	assert_int_equal(openat(fd, "new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), -1);
	assert_int_equal(errno, EROFS);
	assert_int_equal(fstatat(fd, "a/volume", &st, 0), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(fstatat(fd, "a/file", &st, 0), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(fstatat(fd, "file", &st, 0), -1);
	close(fd);
	close(receive(packed, path));
	assert_string_equal(path, "/tmp/a/volume");
	close(receive(packed, path));
	assert_string_equal(path, "/tmpfile");
	assert_int_equal(receive(packed, path), -1);
	close(packed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_proxy_root_detached_directory_leads_nowhere_and_is_not_written,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_proxy_root_directory_of_records_is_written_and_leads_nowhere,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_proxy_root_memory_of_the_guest_is_empty_and_not_written, setup,
						teardown),
		cmocka_unit_test(test_proxy_devices_are_two_and_lead_nowhere),
	};

	return cmocka_run_group_tests_name("proxy/root", tests, NULL, NULL);
}
