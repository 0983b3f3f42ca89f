/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto.h - the agent protocol: frames between the host (runtime, proxy) and the agent, over vsock.
 *
 * Every message is a frame: a 12-byte little-endian header, then `length` bytes of payload. The payload is the
 * protobuf message named beside its type below (schema: common/agent.proto, coded with nanopb). The length is checked
 * against the type's bounds before anything else happens. The first exchange on a control connection is HELLO.
 * Each request gets exactly one reply, with the request's id: the named reply type, or ERROR. WAIT's reply may come
 * much later, other requests go on meanwhile.
 *
 * A stream connection (port AGENT_PORT_STREAM) begins with one STREAM_ATTACH frame and one reply; after an OK reply
 * it carries the raw bytes of one standard stream, so flow control is vsock's: stdin towards the guest (a shutdown for
 * writing is end of file), stdout or stderr towards the host (end of file when the process has ended and its output is
 * drained). For a terminal there is one stream, both ways, attached as stream 0. Streams from 3 on are what else the
 * process is given, at descriptors of these numbers.
 */
#ifndef BULKHEAD_PROTO_H
#define BULKHEAD_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROTO_VERSION 1u

#define AGENT_PORT_CONTROL 1024u
#define AGENT_PORT_STREAM 1025u
#define AGENT_PORT_RESOLVER 1026u

#define PROTO_HEADER_SIZE 12u
#define PROTO_PAYLOAD_MAX (4u << 20) /* a container with the largest arguments and environment Linux takes */
#define PROTO_SMALL_MAX (64u << 10)

/*
 * LOOKUP, on a resolver connection, is the one request that the agent sends: a DNS message for a nameserver on the
 * host's side of the container's network namespace. Its payload is a byte that says how, the IPv4 address of the
 * nameserver in network order, and the message; its reply is the nameserver's message, or empty if there is none.
 */
#define PROTO_LOOKUP_UDP 0u
#define PROTO_LOOKUP_TCP 1u
#define PROTO_LOOKUP_HEAD 5u
#define PROTO_LOOKUP_MESSAGE_MAX 4096u /* a question is small */
#define PROTO_LOOKUP_REPLY_MAX 65535u

/* Process.more_streams: what the process may do with the stream. */
enum proto_stream_way {
	PROTO_STREAM_READ = 1,
	PROTO_STREAM_WRITE = 2,
};
enum { PROTO_MORE_STREAMS_MAX = 32 };

/* In a device filter: a disk of which only the guest knows the numbers (Device.disk). No device has such a number. */
enum { PROTO_DISK_MAJOR = 0xd15c0 };

/* Numbers are never reused. Requests are even, each reply is its request + 1; ERROR may answer any. */
enum proto_type {
	PROTO_ERROR = 1,             /* Error */
	PROTO_HELLO = 2,             /* Hello */
	PROTO_HELLO_REPLY = 3,       /* Hello */
	PROTO_CREATE = 4,            /* CreateRequest: build the container, stop just before exec */
	PROTO_CREATE_REPLY = 5,      /* ProcessReply */
	PROTO_START = 6,             /* ContainerRequest: let the init process exec */
	PROTO_START_REPLY = 7,       /* Empty, after a successful exec */
	PROTO_EXEC = 8,              /* ExecRequest: one more process; what it writes waits for whoever attaches */
	PROTO_EXEC_REPLY = 9,        /* ProcessReply, after a successful exec */
	PROTO_WAIT = 10,             /* ProcessRequest */
	PROTO_WAIT_REPLY = 11,       /* WaitReply, when the process has ended */
	PROTO_KILL = 12,             /* KillRequest */
	PROTO_KILL_REPLY = 13,       /* Empty */
	PROTO_RESIZE = 14,           /* ResizeRequest: terminal size */
	PROTO_RESIZE_REPLY = 15,     /* Empty */
	PROTO_PS = 16,               /* ContainerRequest */
	PROTO_PS_REPLY = 17,         /* PsReply */
	PROTO_UPDATE = 18,           /* UpdateRequest: write guest cgroup files */
	PROTO_UPDATE_REPLY = 19,     /* Empty */
	PROTO_STATS = 20,            /* ContainerRequest */
	PROTO_STATS_REPLY = 21,      /* StatsReply */
	PROTO_DELETE = 22,           /* ContainerRequest: kill what is left, unmount, remove the cgroup */
	PROTO_DELETE_REPLY = 23,     /* Empty */
	PROTO_SHUTDOWN = 24,         /* Empty: sync and power off; the reply may be lost */
	PROTO_SHUTDOWN_REPLY = 25,   /* Empty */
	PROTO_ATTACH = 26,           /* AttachRequest: first frame of a stream connection */
	PROTO_ATTACH_REPLY = 27,     /* Empty */
	PROTO_FREEZE = 28,           /* FreezeRequest: freeze or thaw the container's guest cgroup */
	PROTO_FREEZE_REPLY = 29,     /* Empty */
	PROTO_OOM_WAIT = 30,         /* ContainerRequest: answered when an out-of-memory kill happened in its cgroup */
	PROTO_OOM_WAIT_REPLY = 31,   /* Empty */
	PROTO_NET_ADD = 32,          /* NetAddRequest: a network interface, in the guest's own network namespace */
	PROTO_NET_ADD_REPLY = 33,    /* Empty, when it is configured */
	PROTO_NET_REMOVE = 34,       /* NetRemoveRequest */
	PROTO_NET_REMOVE_REPLY = 35, /* Empty */
	PROTO_LOOKUP = 36,           /* from the agent, see above */
	PROTO_LOOKUP_REPLY = 37,
	PROTO_RESOLVER = 38,            /* ResolverRequest: nameservers that only the host can reach */
	PROTO_RESOLVER_REPLY = 39,      /* Empty, when the agent listens in their place */
	PROTO_FORWARD = 40,             /* ForwardRequest: first frame of a stream connection to a port of the guest */
	PROTO_FORWARD_REPLY = 41,       /* Empty, at once: a port where nobody listens closes the connection */
	PROTO_DEVICE_ADD = 42,          /* DeviceAddRequest: a device of the monitor's that came while the guest runs */
	PROTO_DEVICE_ADD_REPLY = 43,    /* Empty, when its driver has probed it */
	PROTO_DEVICE_REMOVE = 44,       /* DeviceRemoveRequest: its driver is to let go of it */
	PROTO_DEVICE_REMOVE_REPLY = 45, /* Empty, when it has */
	PROTO_SUSPEND = 46, /* ContainerRequest: stop its processes, for a checkpoint, until the connection ends */
	PROTO_SUSPEND_REPLY = 47, /* Empty, when they have stopped and what they wrote is on its way */
	PROTO_RELEASE = 48,       /* ContainerRequest: let them go on */
	PROTO_RELEASE_REPLY = 49, /* Empty */
	PROTO_ADOPT = 50,         /* AdoptRequest: in a copy, instead of CREATE */
	PROTO_ADOPT_REPLY = 51,   /* ProcessReply */
	PROTO_TYPE_COUNT
};

struct proto_header {
	uint32_t length; /* of the payload */
	uint16_t type;   /* enum proto_type */
	uint32_t id;     /* chosen by the requester, repeated in the reply */
};

/* Offsets on the wire: length 0 (4), type 4 (2), reserved, zero 6 (2), id 8 (4). */
void proto_pack_header(uint8_t out[PROTO_HEADER_SIZE], const struct proto_header *header);

/* False if the reserved bytes are not zero: then the stream is not ours, and the connection ends. */
bool proto_unpack_header(const uint8_t in[PROTO_HEADER_SIZE], struct proto_header *header);

/* True if a frame of `type` may carry `length` bytes. Unknown types may carry up to PROTO_SMALL_MAX (they are
 * answered with ERROR, so their payload has to be skipped). Runs before any handler. */
bool proto_length_is_valid(uint16_t type, uint32_t length);

/* For logs; "unknown" for numbers without a name. */
const char *proto_type_name(uint16_t type);

#endif
