/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/proxy_request.h"

#include "runtime/proxy_channel.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/fd_stat.h"
#include "common/proto.h"

#include "agent.pb.h"

#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

/*
 * CREATE was encoded before the guest booted: its clock is set by a second realtime_ns behind it. In protobuf the last
 * one counts.
 */
static size_t encode_realtime(uint8_t out[16])
{
	struct timespec now;
	size_t used = 0;

	clock_gettime(CLOCK_REALTIME, &now);
	uint64_t value = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	out[used++] = agent_CreateRequest_realtime_ns_tag << 3; /* wire type 0, varint */
	do {
		out[used++] = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
		value >>= 7;
	} while (value);
	return used;
}

_Static_assert(agent_CreateRequest_realtime_ns_tag == agent_AdoptRequest_realtime_ns_tag, "one way to set the clock");

int proxy_request_send(struct channel *channel, int request_fd, uint16_t type, uint32_t id, struct err *err)
{
	auto_fd int fd = request_fd;
	uint8_t realtime[16];
	struct stat st;

	if (fd_stat(fd, &st) < 0)
		return err_set_errno(err, "cannot read the description");
	size_t length = (size_t)st.st_size;
	void *payload = length ? mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
	if (payload == MAP_FAILED)
		return err_set_errno(err, "cannot read the description");
	int result = channel_send_raw(channel, type, id, payload, length, realtime,
				      type == PROTO_EXEC ? 0 : encode_realtime(realtime), err);
	if (payload)
		munmap(payload, length);
	return result;
}
