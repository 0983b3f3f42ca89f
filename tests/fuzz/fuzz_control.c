/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whoever may connect to the monitor's control socket, and what they send. Each packet gets one reply, names end, the
 * descriptors that came are taken or closed: none is left open.
 *
 * Input: packets, each a byte of length (of a request and up to 100 bytes more), a byte that says how many descriptors
 * come along (bits 0..2) and whether the connection ends behind it (bit 7), then its bytes.
 *
 * Covers: vmm/control.c
 */
#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/loop.h"
#include "vmm/control.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const char *name)
{
	assert(strlen(name) < VMM_NAME_MAX);
}

static int plain(void *arg, struct err *err)
{
	(void)arg;
	return err_set(err, EBUSY, "not now");
}

static int end(void *arg, struct err *err)
{
	(void)arg;
	(void)err;
	return 0;
}

static void stats(void *arg, struct vmm_stats *out, struct vmm_details *details)
{
	(void)arg;
	(void)details;
	out->vcpus = 1;
}

static int add_share(void *arg, const char *name, int fd, bool read_only, struct err *err)
{
	(void)arg;
	check_name(name);
	assert(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	close(fd);
	return read_only ? 0 : err_set(err, EEXIST, "share \"%s\" exists already", name);
}

static int remove_share(void *arg, const char *name, struct err *err)
{
	(void)arg;
	check_name(name);
	return err_set(err, ENOENT, "there is no share \"%.80s\"", name);
}

static int add_net(void *arg, const char *name, uint64_t key, const uint8_t mac[6], int *tap_fd, int *vhost_fd,
		   struct vmm_place *place, struct err *err)
{
	(void)arg;
	(void)err;
	check_name(name);
	place->address = mac[0];
	assert(fcntl(*tap_fd, F_GETFD) == FD_CLOEXEC);
	if (key & 1)
		close_fd(tap_fd);
	if (key & 2)
		close_fd(vhost_fd);
	return 0;
}

static int find_net(void *arg, uint64_t key, struct vmm_place *place, struct err *err)
{
	(void)arg;
	(void)place;
	return key ? err_set(err, ENOENT, "none") : 0;
}

static int remove_net(void *arg, uint64_t key, struct err *err)
{
	(void)arg;
	return key ? err_set(err, ENOENT, "none") : 0;
}

static int checkpoint(void *arg, int memory_fd, int state_fd, struct err *err)
{
	(void)arg;
	assert(fcntl(memory_fd, F_GETFD) == FD_CLOEXEC && fcntl(state_fd, F_GETFD) == FD_CLOEXEC);
	return memory_fd & 1 ? 0 : err_set(err, EAGAIN, "the guest is not ready yet");
}

static const struct control_ops ops = {
	.checkpoint = checkpoint,
	.pause = plain,
	.resume = end,
	.stats = stats,
	.add_share = add_share,
	.remove_share = remove_share,
	.add_net = add_net,
	.find_net = find_net,
	.remove_net = remove_net,
	.kill = end,
};

static unsigned open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	while (dir && readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void send_packet(int fd, const uint8_t *bytes, size_t length, unsigned count)
{
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(7 * sizeof(int))] = { 0 };
	struct iovec part = { (void *)(uintptr_t)bytes, length };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	int fds[7];

	for (unsigned i = 0; i < count; i++)
		fds[i] = 0;
	if (count) {
		message.msg_control = space;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(header), fds, count * sizeof(int));
	}
	(void)!sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX }; /* abstract, of the kernel's choice */
	socklen_t length = sizeof address;
	struct err err = ERR_INIT;

	log_setup("fuzz", -1, LOG_TEXT, LOG_ERROR);
	unsigned before = open_files();
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), client = -1;
	if (bind(listener, (struct sockaddr *)&address, sizeof address.sun_family) || listen(listener, 4))
		abort();
	getsockname(listener, (struct sockaddr *)&address, &length);
	struct loop *loop = loop_create(&err);
	struct control *control = control_create(loop, listener, &ops, NULL, &err);

	while (size >= 2) {
		size_t wanted = data[0] == 255 ? sizeof(struct vmm_control_request) : data[0] % 200;
		unsigned flags = data[1];

		data += 2;
		size -= 2;
		wanted = wanted < size ? wanted : size;
		if (client < 0) {
			client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
			if (connect(client, (struct sockaddr *)&address, length))
				abort();
		}
		send_packet(client, data, wanted, flags & 7);
		loop_step(loop, 0);
		loop_step(loop, 0);

		struct vmm_control_reply reply;
		ssize_t n = recv(client, &reply, sizeof reply, MSG_DONTWAIT);
		/* An empty packet is the end of a connection. */
		assert(n == (wanted ? (ssize_t)sizeof reply : 0));
		assert(n <= 0 || memchr(reply.text, 0, sizeof reply.text));
		if (n <= 0 || flags & 128)
			close_fd(&client);
		data += wanted;
		size -= wanted;
	}
	close_fd(&client);
	control_destroy(control);
	loop_destroy(loop);
	assert(open_files() == before);
	return 0;
}
