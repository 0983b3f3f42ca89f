/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/agent_client.h"

#include "runtime/frame.h"
#include "runtime/vm_socket.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/proto.h"

#include "agent.pb.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { HELLO_ID = 1 };

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int wait_ready(int fd, short events, int64_t deadline, struct err *err)
{
	for (;;) {
		struct pollfd poller = { .fd = fd, .events = events };
		int64_t left = deadline - now_ms();
		int n = poll(&poller, 1, left > 0 ? (int)left : 0);

		if (n > 0)
			return 0;
		if (n == 0)
			return err_set(err, ETIMEDOUT, "the guest does not answer");
		if (errno != EINTR)
			return err_set_errno(err, "cannot wait for the guest");
	}
}

static int write_all(int fd, const void *data, size_t length, int64_t deadline, struct err *err)
{
	for (const char *at = data; length > 0;) {
		ssize_t n = send(fd, at, length, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			at += n;
			length -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			if (wait_ready(fd, POLLOUT, deadline, err) < 0)
				return -1;
		} else if (n < 0 && errno != EINTR) {
			return err_set(err, errno, "the virtual machine has ended");
		}
	}
	return 0;
}

static int read_all(int fd, void *data, size_t length, int64_t deadline, struct err *err)
{
	for (char *at = data; length > 0;) {
		ssize_t n = recv(fd, at, length, MSG_DONTWAIT);

		if (n > 0) {
			at += n;
			length -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			if (wait_ready(fd, POLLIN, deadline, err) < 0)
				return -1;
		} else if (n == 0 || errno != EINTR) {
			return err_set(err, ECONNRESET, "the virtual machine has ended");
		}
	}
	return 0;
}

/* "OK <port>\n", and nothing behind it: the agent does not speak first. */
static int read_greeting(int fd, int64_t deadline, struct err *err)
{
	char line[32];

	for (size_t used = 0; used < sizeof line;) {
		if (wait_ready(fd, POLLIN, deadline, err) < 0)
			return -1;
		ssize_t n = recv(fd, line + used, sizeof line - used, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return err_set(err, ECONNRESET, "the virtual machine has ended");
		used += n > 0 ? (size_t)n : 0;
		if (used > 3 && line[used - 1] == '\n' && strncmp(line, "OK ", 3) == 0)
			return 0;
	}
	return err_set(err, EPROTO, "the monitor's answer makes no sense");
}

static int send_request(const struct agent_client *client, uint16_t type, uint32_t id,
			const struct pb_msgdesc_s *fields, const void *request, int64_t deadline, struct err *err)
{
	auto_free uint8_t *frame = NULL;
	size_t length;

	if (frame_encode(type, id, fields, request, &frame, &length, err) < 0)
		return -1;
	return write_all(client->fd, frame, length, deadline, err);
}

static int check_reply(const struct proto_header *header, uint16_t type, uint32_t id, struct err *err)
{
	if (header->id != id || (header->type != type + 1 && header->type != PROTO_ERROR))
		return err_set(err, EPROTO, "the guest answered %s with %s", proto_type_name(type),
			       proto_type_name(header->type));
	if (!proto_length_is_valid(header->type, header->length))
		return err_set(err, EPROTO, "the guest's answer to %s has an impossible length", proto_type_name(type));
	return 0;
}

static int receive_reply(const struct agent_client *client, uint16_t type, uint32_t id,
			 const struct pb_msgdesc_s *fields, void *reply, int64_t deadline, struct err *err)
{
	uint8_t packed[PROTO_HEADER_SIZE];
	struct proto_header header;
	auto_free uint8_t *payload = NULL;

	if (read_all(client->fd, packed, sizeof packed, deadline, err) < 0)
		return -1;
	if (!proto_unpack_header(packed, &header))
		return err_set(err, EPROTO, "the guest's answer to %s makes no sense", proto_type_name(type));
	if (check_reply(&header, type, id, err) < 0)
		return -1;
	payload = malloc((size_t)header.length + 1);
	if (!payload)
		return err_set(err, ENOMEM, "out of memory");
	if (read_all(client->fd, payload, header.length, deadline, err) < 0)
		return -1;
	if (header.type == PROTO_ERROR) {
		frame_decode_error(payload, header.length, err);
		return -1;
	}
	return fields ? frame_decode(fields, payload, header.length, reply, err) : 0;
}

int agent_client_open(struct agent_client *client, int dirfd, int timeout_ms, struct err *err)
{
	agent_Hello hello = { .version = PROTO_VERSION };
	int64_t deadline = now_ms() + timeout_ms;
	char line[32];

	client->next_id = HELLO_ID + 1;
	client->greeted = false;
	client->fd = vm_socket_connect(dirfd, VM_SOCKET_VSOCK, SOCK_STREAM, err);
	if (client->fd < 0)
		return -1;
	int length = snprintf(line, sizeof line, "CONNECT %u\n", AGENT_PORT_CONTROL);
	if (write_all(client->fd, line, (size_t)length, deadline, err) < 0 ||
	    read_greeting(client->fd, deadline, err) < 0 ||
	    send_request(client, PROTO_HELLO, HELLO_ID, agent_Hello_fields, &hello, deadline, err) < 0) {
		agent_client_close(client);
		return -1;
	}
	return 0;
}

void agent_client_close(struct agent_client *client)
{
	close_fd(&client->fd);
}

/* The answer to HELLO is only waited for behind the first request: that spares a round trip into the guest. */
static int receive_hello(struct agent_client *client, int64_t deadline, struct err *err)
{
	agent_Hello reply = agent_Hello_init_zero;

	if (receive_reply(client, PROTO_HELLO, HELLO_ID, agent_Hello_fields, &reply, deadline, err) < 0)
		return -1;
	if (reply.version != PROTO_VERSION)
		return err_set(err, EPROTO, "the guest's agent speaks protocol version %u, this program %u",
			       reply.version, PROTO_VERSION);
	client->greeted = true;
	return 0;
}

int agent_client_call(struct agent_client *client, uint16_t type, const struct pb_msgdesc_s *fields,
		      const void *request, const struct pb_msgdesc_s *reply_fields, void *reply, int timeout_ms,
		      struct err *err)
{
	int64_t deadline = now_ms() + timeout_ms;
	uint32_t id = client->next_id++;

	if (send_request(client, type, id, fields, request, deadline, err) < 0 ||
	    (!client->greeted && receive_hello(client, deadline, err) < 0))
		return -1;
	return receive_reply(client, type, id, reply_fields, reply, deadline, err);
}
