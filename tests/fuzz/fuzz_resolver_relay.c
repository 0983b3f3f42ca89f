/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy's look-ups for a hostile guest: whatever comes on the connection, what goes back are answers to questions
 * that were asked, and no more of them.
 *
 * Input: pieces, each a length byte and as many bytes; the relay gets a turn after each. Questions are counted by a
 * reader of our own; nobody listens at the allowed address, so that each is answered at once.
 *
 * Covers: runtime/resolver_relay.c
 */
#include "runtime/nameservers.h"
#include "runtime/resolver_relay.h"

#include "common/err.h"
#include "common/loop.h"
#include "common/proto.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t got[8 << 20];
static size_t have;

static void read_answers(int guest)
{
	ssize_t n;

	while (have < sizeof got && (n = recv(guest, got + have, sizeof got - have, MSG_DONTWAIT)) > 0)
		have += (size_t)n;
}

/* After the CONNECT line and HELLO: replies to look-ups, whole but perhaps for the last. */
static unsigned count_answers(void)
{
	static const char line[] = "CONNECT 1026\n";
	struct proto_header header;
	size_t at = sizeof line - 1;
	unsigned count = 0;

	assert(have >= at && memcmp(got, line, at) == 0);
	while (have - at >= PROTO_HEADER_SIZE) {
		assert(proto_unpack_header(got + at, &header));
		assert(header.type == PROTO_LOOKUP_REPLY || (at == sizeof line - 1 && header.type == PROTO_HELLO));
		if (have - at - PROTO_HEADER_SIZE < header.length)
			break;
		at += PROTO_HEADER_SIZE + header.length;
		count += header.type == PROTO_LOOKUP_REPLY;
	}
	return count;
}

/* What the guest has sent, read as the protocol says: how many questions at most. */
static unsigned count_questions(const uint8_t *bytes, size_t length)
{
	struct proto_header header;
	unsigned count = 0;

	while (length >= PROTO_HEADER_SIZE && proto_unpack_header(bytes, &header) &&
	       header.length <= length - PROTO_HEADER_SIZE) {
		count += header.type == PROTO_LOOKUP;
		bytes += PROTO_HEADER_SIZE + header.length;
		length -= PROTO_HEADER_SIZE + header.length;
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t sent[1 << 20];
	struct nameservers allowed = { .addresses = { inet_addr("127.9.9.9") }, .count = 1 };
	struct err err = ERR_INIT;
	struct loop *loop = loop_create(&err);
	size_t sent_length = 0;
	int pair[2];

	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	struct resolver_relay *relay = resolver_relay_create(loop, pair[0], &err);
	assert(relay);
	resolver_relay_allow(relay, &allowed);
	have = 0;
	assert(send(pair[1], "OK 1\n", 5, MSG_DONTWAIT) == 5);
	loop_step(loop, 0);
	while (size > 1 && sent_length < sizeof sent - 256) {
		size_t length = *data < size - 1 ? *data : size - 1;
		ssize_t n = length ? send(pair[1], data + 1, length, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

		if (n > 0) {
			memcpy(sent + sent_length, data + 1, (size_t)n);
			sent_length += (size_t)n;
		}
		data += length + 1;
		size -= length + 1;
		loop_step(loop, 0);
		read_answers(pair[1]);
	}
	for (int i = 0; i < 3; i++)
		loop_step(loop, 0);
	read_answers(pair[1]);
	assert(count_answers() <= count_questions(sent, sent_length));
	resolver_relay_destroy(relay);
	loop_destroy(loop);
	close(pair[1]);
	return 0;
}
