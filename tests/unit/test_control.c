/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket: each request one reply, and nothing odd gets through. */
#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/loop.h"
#include "vmm/control.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

struct fixture {
	struct loop *loop;
	struct control *control;
	struct sockaddr_un address;
	socklen_t address_length;
	int client;
	/* what the machine was asked for */
	char done[64], share[VMM_NAME_MAX];
	bool read_only, fd_was_good;
	uint64_t key;
	uint8_t mac[6];
	int tap, vhost; /* what came: 1, or 0 for none */
	bool takes_tap;
};

static int note_pause(void *arg, struct err *err)
{
	(void)err;
	strcpy(((struct fixture *)arg)->done, "pause");
	return 0;
}

static int refuse_resume(void *arg, struct err *err)
{
	(void)arg;
	return err_set(err, EBUSY, "not now");
}

static void give_stats(void *arg, struct vmm_stats *out, struct vmm_details *details)
{
	(void)arg;
	details->devices[1].requests = 11;
	*out = (struct vmm_stats){ .vcpus = 7 };
}

static int note_add_share(void *arg, const char *name, int fd, bool read_only, struct err *err)
{
	struct fixture *f = arg;

	(void)err;
	strcpy(f->done, "add");
	strcpy(f->share, name);
	f->read_only = read_only;
	f->fd_was_good = fcntl(fd, F_GETFD) == FD_CLOEXEC;
	close(fd);
	return 0;
}

static int note_remove_share(void *arg, const char *name, struct err *err)
{
	struct fixture *f = arg;

	(void)err;
	strcpy(f->done, "remove");
	strcpy(f->share, name);
	return 0;
}

static int note_add_net(void *arg, const char *name, uint64_t key, const uint8_t mac[6], int *tap_fd, int *vhost_fd,
			struct vmm_place *place, struct err *err)
{
	struct fixture *f = arg;

	strcpy(f->done, "add net");
	strcpy(f->share, name);
	f->key = key;
	memcpy(f->mac, mac, sizeof f->mac);
	f->tap = *tap_fd >= 0;
	f->vhost = *vhost_fd >= 0;
	if (f->takes_tap)
		close_fd(tap_fd);
	if (key == 99)
		return err_set(err, ENOSPC, "no room for interface %s", name);
	*place = (struct vmm_place){ .address = 0xd0003000, .irq = 9 };
	return 0;
}

static int find_net(void *arg, uint64_t key, struct vmm_place *place, struct err *err)
{
	(void)arg;
	if (key != 5)
		return err_set(err, ENOENT, "none");
	place->address = 0xd0004000;
	return 0;
}

static int note_remove_net(void *arg, uint64_t key, struct err *err)
{
	struct fixture *f = arg;

	(void)err;
	strcpy(f->done, "remove net");
	f->key = key;
	return 0;
}

static int note_kill(void *arg, struct err *err)
{
	(void)err;
	strcpy(((struct fixture *)arg)->done, "kill");
	return 0;
}

static int note_add_disk(void *arg, const char *id, const struct vmm_disk *disk, int fd, struct vmm_place *place,
			 struct err *err)
{
	struct fixture *f = arg;

	(void)err;
	strcpy(f->done, "add disk");
	strcpy(f->share, id);
	f->key = disk->sectors;
	f->read_only = disk->read_only;
	f->fd_was_good = fcntl(fd, F_GETFD) == FD_CLOEXEC && disk->block_log == 12;
	close(fd);
	place->address = 0xd0005000;
	return 0;
}

static int find_disk(void *arg, const char *id, struct vmm_place *place, struct err *err)
{
	(void)arg;
	if (strcmp(id, "b8-0"))
		return err_set(err, ENOENT, "none");
	place->address = 0xd0006000;
	return 0;
}

static int note_remove_disk(void *arg, const char *id, struct err *err)
{
	struct fixture *f = arg;

	(void)err;
	strcpy(f->done, "remove disk");
	strcpy(f->share, id);
	return 0;
}

static int note_resize(void *arg, uint64_t bytes, struct vmm_place *place, struct vmm_growth *growth, struct err *err)
{
	struct fixture *f = arg;

	strcpy(f->done, "resize");
	f->key = bytes;
	if (bytes == 99)
		return err_set(err, ENOSPC, "too much");
	place->address = 0xd0007000;
	growth->plugged = 17;
	return 0;
}

static const struct control_ops ops = {
	.pause = note_pause,
	.resume = refuse_resume,
	.stats = give_stats,
	.add_share = note_add_share,
	.remove_share = note_remove_share,
	.add_net = note_add_net,
	.find_net = find_net,
	.remove_net = note_remove_net,
	.add_disk = note_add_disk,
	.find_disk = find_disk,
	.remove_disk = note_remove_disk,
	.resize = note_resize,
	.kill = note_kill,
};

static int connect_client(struct fixture *f)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&f->address, f->address_length), 0);
	assert_int_equal(loop_step(f->loop, 1000), 0);
	return fd;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct err err = ERR_INIT;

	log_setup("test", -1, LOG_TEXT, LOG_ERROR);
	f->address.sun_family = AF_UNIX;
	snprintf(f->address.sun_path + 1, sizeof f->address.sun_path - 1, "bulkhead-test-control-%d", (int)getpid());
	f->address_length = sizeof f->address;
	assert_int_equal(bind(fd, (struct sockaddr *)&f->address, f->address_length), 0);
	assert_int_equal(listen(fd, 32), 0);
	f->loop = loop_create(&err);
	f->control = control_create(f->loop, fd, &ops, f, &err);
	assert_non_null(f->control);
	f->client = connect_client(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->client);
	control_destroy(f->control);
	loop_destroy(f->loop);
	free(f);
	return 0;
}

static struct vmm_control_reply reply_of(struct fixture *f)
{
	struct vmm_control_reply reply;

	assert_int_equal(loop_step(f->loop, 1000), 0);
	assert_int_equal(recv(f->client, &reply, sizeof reply, MSG_DONTWAIT), sizeof reply);
	assert_non_null(memchr(reply.text, 0, sizeof reply.text));
	return reply;
}

static struct vmm_control_reply ask(struct fixture *f, const struct vmm_control_request *request, unsigned fds)
{
	struct iovec data = { (void *)(uintptr_t)request, sizeof *request };
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(8 * sizeof(int))];
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1 };

	if (fds) {
		struct cmsghdr *c;

		message.msg_control = space;
		message.msg_controllen = CMSG_SPACE(fds * sizeof(int));
		c = CMSG_FIRSTHDR(&message);
		*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
				       .cmsg_type = SCM_RIGHTS,
				       .cmsg_len = CMSG_LEN(fds * sizeof(int)) };
		for (unsigned i = 0; i < fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &f->client, sizeof(int));
	}
	assert_int_equal(sendmsg(f->client, &message, 0), sizeof *request);
	return reply_of(f);
}

static unsigned open_fds(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void test_control_requests_reach_the_machine(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, &(struct vmm_control_request){ .op = VMM_CONTROL_PAUSE }, 0).code, 0);
	assert_string_equal(f->done, "pause");
	assert_int_equal(ask(f, &(struct vmm_control_request){ .op = VMM_CONTROL_STATS }, 0).stats.vcpus, 7);
	assert_int_equal(
		ask(f, &(struct vmm_control_request){ .op = VMM_CONTROL_REMOVE_SHARE, .name = "gone" }, 0).code, 0);
	assert_string_equal(f->share, "gone");
	assert_int_equal(ask(f, &(struct vmm_control_request){ .op = VMM_CONTROL_KILL }, 0).code, 0);
	assert_string_equal(f->done, "kill");
}

static void test_control_error_text_reaches_the_peer(void **state)
{
	struct fixture *f = *state;
	struct vmm_control_reply reply = ask(f, &(struct vmm_control_request){ .op = VMM_CONTROL_RESUME }, 0);

	assert_int_equal(reply.code, EBUSY);
	assert_string_equal(reply.text, "not now");
}

static void test_control_share_comes_with_its_descriptor(void **state)
{
	struct fixture *f = *state;
	struct vmm_control_request request = { .op = VMM_CONTROL_ADD_SHARE, .arg = 1, .name = "data" };
	unsigned before = open_fds();

	assert_int_equal(ask(f, &request, 1).code, 0);
	assert_string_equal(f->share, "data");
	assert_true(f->read_only && f->fd_was_good);
	assert_int_equal(ask(f, &request, 0).code, EBADF);
	request.arg = 2;
	assert_int_equal(ask(f, &request, 1).code, EINVAL);
	request.arg = 0;
	memset(request.name, 'n', sizeof request.name);
	assert_int_equal(ask(f, &request, 1).code, 0);
	assert_int_equal(strlen(f->share), VMM_NAME_MAX - 1);
	/* One too many, and some nobody asked for: all are closed again. */
	assert_int_equal(ask(f, &request, 3).code, 0);
	ask(f, &request, 8);
	ask(f, &(struct vmm_control_request){ .op = VMM_CONTROL_PAUSE }, 4);
	assert_int_equal(open_fds(), before);
}

static void test_control_network_interface_comes_with_its_descriptors(void **state)
{
	struct fixture *f = *state;
	struct vmm_control_request request = {
		.op = VMM_CONTROL_ADD_NET,
		.arg = 7,
		.name = "eth0",
		.mac = { 2, 0, 0, 0, 0, 9 },
	};
	unsigned before = open_fds();

	struct vmm_control_reply reply = ask(f, &request, 1);
	assert_int_equal(reply.code, 0);
	assert_int_equal(reply.place.address, 0xd0003000);
	assert_int_equal(reply.place.irq, 9);
	assert_string_equal(f->share, "eth0");
	assert_int_equal(f->key, 7);
	assert_memory_equal(f->mac, request.mac, 6);
	assert_true(f->tap && !f->vhost);
	/* With vhost-net, and whatever the machine takes or leaves, nothing stays open. */
	assert_int_equal(ask(f, &request, 2).code, 0);
	assert_true(f->tap && f->vhost);
	f->takes_tap = true;
	assert_int_equal(ask(f, &request, 3).code, 0);
	request.arg = 99;
	reply = ask(f, &request, 2);
	assert_int_equal(reply.code, ENOSPC);
	assert_string_equal(reply.text, "no room for interface eth0");
	assert_int_equal(open_fds(), before);
	/* Without any it does not get as far as the machine. */
	strcpy(f->done, "");
	assert_int_equal(ask(f, &request, 0).code, EBADF);
	assert_string_equal(f->done, "");
}

static void test_control_network_interface_is_found_and_removed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, &(struct vmm_control_request){ .op = VMM_CONTROL_FIND_NET, .arg = 5 }, 0).place.address,
			 0xd0004000);
	assert_int_equal(ask(f, &(struct vmm_control_request){ .op = VMM_CONTROL_FIND_NET, .arg = 6 }, 0).code, ENOENT);
	assert_int_equal(ask(f, &(struct vmm_control_request){ .op = VMM_CONTROL_REMOVE_NET, .arg = 5 }, 0).code, 0);
	assert_string_equal(f->done, "remove net");
	assert_int_equal(f->key, 5);
}

static void test_control_disk_comes_with_its_descriptor(void **state)
{
	struct fixture *f = *state;
	struct vmm_control_request request = {
		.op = VMM_CONTROL_ADD_DISK,
		.name = "b8-0-ro",
		.arg = vmm_disk_pack((struct vmm_disk){ .sectors = 1ull << 40, .block_log = 12, .read_only = 1 }),
	};
	int before = open_fds();

	assert_int_equal(ask(f, &request, 1).place.address, 0xd0005000);
	assert_string_equal(f->done, "add disk");
	assert_string_equal(f->share, "b8-0-ro");
	assert_true(f->read_only && f->fd_was_good);
	assert_int_equal(f->key, 1ull << 40);
	strcpy(f->done, "");
	assert_int_equal(ask(f, &request, 0).code, EBADF);
	request.arg = vmm_disk_pack((struct vmm_disk){ .sectors = 1, .block_log = 8 });
	assert_int_equal(ask(f, &request, 1).code, EINVAL);
	strcpy(request.name, "a-name-that-is-too-long-for-a-disk");
	assert_int_equal(ask(f, &request, 1).code, EINVAL);
	assert_string_equal(f->done, "");
	assert_int_equal(open_fds(), before);
	assert_int_equal(
		ask(f, &(struct vmm_control_request){ .op = VMM_CONTROL_FIND_DISK, .name = "b8-0" }, 0).place.address,
		0xd0006000);
	assert_int_equal(ask(f, &(struct vmm_control_request){ .op = VMM_CONTROL_FIND_DISK, .name = "b" }, 0).code,
			 ENOENT);
	assert_int_equal(ask(f, &(struct vmm_control_request){ .op = VMM_CONTROL_REMOVE_DISK, .name = "b" }, 0).code,
			 0);
	assert_string_equal(f->done, "remove disk");
}

static void test_control_memory_is_asked_for(void **state)
{
	struct fixture *f = *state;
	struct vmm_control_reply reply =
		ask(f, &(struct vmm_control_request){ .op = VMM_CONTROL_RESIZE, .arg = 1ull << 33 }, 0);

	assert_int_equal(reply.code, 0);
	assert_int_equal(f->key, 1ull << 33);
	assert_int_equal(reply.place.address, 0xd0007000);
	assert_int_equal(reply.growth.plugged, 17);
	assert_int_equal(ask(f, &(struct vmm_control_request){ .op = VMM_CONTROL_RESIZE, .arg = 99 }, 0).code, ENOSPC);
}

static void test_control_odd_packets_are_refused(void **state)
{
	struct fixture *f = *state;
	char big[sizeof(struct vmm_control_request) + 1] = { VMM_CONTROL_KILL };

	assert_int_equal(ask(f, &(struct vmm_control_request){ .op = 0 }, 0).code, ENOTSUP);
	assert_int_equal(ask(f, &(struct vmm_control_request){ .op = 1000 }, 0).code, ENOTSUP);
	assert_int_equal(ask(f, &(struct vmm_control_request){ .op = VMM_CONTROL_KILL, .reserved = 1 }, 0).code,
			 EINVAL);
	assert_int_equal(send(f->client, big, sizeof big, 0), sizeof big);
	assert_int_equal(reply_of(f).code, EBADMSG);
	assert_int_equal(send(f->client, big, 4, 0), 4);
	assert_int_equal(reply_of(f).code, EBADMSG);
	assert_string_equal(f->done, "");
}

static void test_control_too_many_connections_are_closed(void **state)
{
	struct fixture *f = *state;
	int clients[20];
	unsigned closed = 0;
	char byte;

	for (int i = 0; i < 20; i++)
		clients[i] = connect_client(f);
	for (int i = 0; i < 20; i++) {
		closed += recv(clients[i], &byte, 1, MSG_DONTWAIT) == 0;
		close(clients[i]);
	}
	assert_int_equal(closed, 5);
	assert_int_equal(loop_step(f->loop, 1000), 0);
	/* Their places are free again. */
	close(f->client);
	assert_int_equal(loop_step(f->loop, 1000), 0);
	f->client = connect_client(f);
	assert_int_equal(ask(f, &(struct vmm_control_request){ .op = VMM_CONTROL_PAUSE }, 0).code, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_control_requests_reach_the_machine),
		TEST(test_control_error_text_reaches_the_peer),
		TEST(test_control_share_comes_with_its_descriptor),
		TEST(test_control_odd_packets_are_refused),
		TEST(test_control_too_many_connections_are_closed),
		TEST(test_control_network_interface_comes_with_its_descriptors),
		TEST(test_control_network_interface_is_found_and_removed),
		TEST(test_control_disk_comes_with_its_descriptor),
		TEST(test_control_memory_is_asked_for),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
