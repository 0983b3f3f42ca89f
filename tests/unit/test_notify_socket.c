/* SPDX-License-Identifier: Apache-2.0 */
/* Which socket of the host's a container's NOTIFY_SOCKET is, when a bind mount brings it. */
#include "runtime/notify_socket.h"

#include "runtime/vm_socket.h"

#include "common/err.h"

#include "oci/config.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/notify.XXXXXX";

static int make_files(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	if (!mkdtemp(directory))
		return -1;
	int dirfd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mkdirat(dirfd, "volume", 0755) || symlinkat("../host", dirfd, "volume/link"))
		return -1;
	int volume = openat(dirfd, "volume", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* They stay open: somebody listens. */
	return vm_socket_bind(dirfd, "host", &err) < 0 || vm_socket_bind(volume, "given", &err) < 0 ? -1 : 0;
}

static int remove_files(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof command, "rm -r %s", directory);
	return system(command);
}

/* Whether it is connected to anything. */
static bool finds(const char *source, const char *inside)
{
	struct oci_config *config = NULL;
	struct notify_socket notify;
	struct err err = ERR_INIT;
	char text[1024];

	snprintf(text, sizeof text,
		 "{\"ociVersion\": \"1.0.2\", \"root\": {\"path\": \"rootfs\"}, \"linux\": {},"
		 " \"process\": {\"cwd\": \"/\", \"args\": [\"true\"], \"env\": [\"NOTIFY_SOCKET=%s\"]},"
		 " \"mounts\": [{\"destination\": \"/data\", \"type\": \"bind\", \"source\": \"%s/%s\","
		 " \"options\": [\"bind\"]}]}",
		 inside, directory, source);
	assert_int_equal(oci_config_parse(directory, text, strlen(text), &config, &err), 0);
	notify_socket_find(&notify, config);
	if (notify.fd >= 0)
		close(notify.fd);
	oci_config_destroy(config);
	return notify.fd >= 0;
}

static void test_notify_socket_in_a_mount_is_found(void **state)
{
	(void)state;
	assert_true(finds("volume", "/data/given"));
	assert_true(finds("volume/given", "/data"));
	assert_false(finds("volume", "/data/missing"));
	assert_false(finds("volume", "/elsewhere/given"));
}

/* The variable may be the image's, and the link the container's. */
static void test_notify_socket_outside_of_its_mount_is_out_of_reach(void **state)
{
	(void)state;
	assert_true(finds("host", "/data"));
	assert_false(finds("volume", "/data/../host"));
	assert_false(finds("volume", "/data/link"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_notify_socket_in_a_mount_is_found),
		cmocka_unit_test(test_notify_socket_outside_of_its_mount_is_out_of_reach),
	};

	return cmocka_run_group_tests_name("notify socket", tests, make_files, remove_files);
}
