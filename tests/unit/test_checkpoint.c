/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint that is refused: what it leaves alone. */
#include "runtime/checkpoint.h"

#include "runtime/statedir.h"
#include "runtime/vm_socket.h"

#include "common/err.h"

#include "oci/alloc.h"
#include "oci/store.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static const char config[] = "{\"ociVersion\": \"1.0.2\", \"root\": {\"path\": \"rootfs\"}, \"linux\": {},"
			     " \"process\": {\"cwd\": \"/\", \"args\": [\"true\"]}}";

/* Its control socket is the VM's, which the others of the pod run in. */
static void test_checkpoint_of_a_paused_pods_container_leaves_the_vm_alone(void **state)
{
	char path[] = "/tmp/checkpoint.XXXXXX";
	struct container container;
	struct checkpointing work;
	struct checkpoint checkpoint;
	struct err err = ERR_INIT;

	(void)state;
	assert_non_null(mkdtemp(path));
	container_init(&container);
	container.dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	container.id = strdup("member");
	container.store = oci_alloc(1, sizeof *container.store);
	container.store->id = oci_strdup("member");
	container.store->bundle = oci_strdup("/bundle");
	container.store->sandbox = oci_strdup("sandbox");
	container.store->is_paused = true;
	int fd = openat(container.dirfd, STATEDIR_CONFIG, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, config, strlen(config)), (ssize_t)strlen(config));
	close(fd);
	close(openat(container.dirfd, STATEDIR_END, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)); /* as pod_join does */
	int control = vm_socket_listen(container.dirfd, VM_SOCKET_CONTROL, SOCK_SEQPACKET, &err);
	assert_true(control >= 0);

	checkpoint_init(&checkpoint);
	assert_int_equal(checkpoint_take(&work, &container, &checkpoint, &err), -1);
	assert_non_null(strstr(err.text, "container member is one of a pod's"));
	checkpoint_release(&work);
	assert_int_equal(accept4(control, NULL, NULL, SOCK_NONBLOCK), -1);
	assert_int_equal(errno, EAGAIN);

	checkpoint_close(&checkpoint);
	close(control);
	unlinkat(container.dirfd, VM_SOCKET_CONTROL, 0);
	unlinkat(container.dirfd, STATEDIR_CONFIG, 0);
	container_close(&container);
	rmdir(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checkpoint_of_a_paused_pods_container_leaves_the_vm_alone),
	};

	return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
