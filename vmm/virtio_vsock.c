/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queues of the socket device, and the table of its connections. What a connection does is in vsock_conn.c.
 *
 * What the guest can cause: each packet it sends costs one look-up and at most one write to a socket. A RST that it
 * provokes is kept until it gives a buffer for it, and when RSTS_GUEST_MAX are kept, its packets stay where they are:
 * the specification allows that (5.10.6.1.2, no more resources), and a guest that takes its replies never sees it.
 * Work per dispatch is bounded, the rest comes back through `again_fd` after the other watches had their turn.
 *
 * Threads: `device.lock` covers all of struct virtio_vsock. Activate and reset run on a vCPU's thread, where the event
 * loop must not be touched: reset leaves a mark, which catch_up obeys on the loop's thread before anything else.
 */
#include "vmm/virtio_vsock.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/loop.h"
#include "vmm/virtio_device.h"
#include "vmm/vsock_conn.h"
#include "vmm/vsock_packet.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

enum { QUEUE_RX, QUEUE_TX, QUEUE_EVENT, QUEUE_COUNT };

enum {
	DEVICE_ID = 19,
	/*
	 * Linux fills the whole receive queue with buffers of 4 KiB, 8 KiB of its memory each. Streams of 64 MiB take
	 * as many instructions with 16 entries as with 256, so this is for slow wake-ups only.
	 */
	QUEUE_SIZE = 32,
	/* Per dispatch. */
	RX_BUDGET = 16,
	TX_BUDGET = 16,
	ACCEPT_BUDGET = 8,
	/*
	 * RSTs that are owed. Each packet of the guest makes at most one; beyond RSTS_GUEST_MAX it has to wait. On the
	 * host's side a connection makes one, and only after its REQUEST, which is sent when no RST is owed.
	 */
	RSTS_GUEST_MAX = VSOCK_CONNECTIONS_MAX,
	RSTS_MAX = RSTS_GUEST_MAX + VSOCK_CONNECTIONS_MAX,
	COMPLAINTS_PER_SECOND = 5,
};

#define FEATURE_STREAM (1ull << 0)

/* Host ports: a number that does not come back soon, then the slot. */
#define HOST_PORT_BASE 0x40000000u
#define HOST_PORT_MASK 0x3fffffffu

struct rst {
	uint32_t host_port, guest_port;
	uint16_t type; /* as the guest wrote it */
};

struct slot {
	struct vsock_conn conn;
	struct virtio_vsock *vsock;
	struct loop_watch *watch;
	struct slot *next, *previous; /* while listed */
	bool listed;
	bool counted;           /* in virtio_vsock.in_use */
	uint64_t closing_order; /* when its host program left it to the guest alone; 0: it did not */
};

struct virtio_vsock {
	struct virtio_device device; /* first */
	struct loop *loop;
	uint64_t guest_cid;
	int listen_fd;
	struct loop_watch *listen_watch;
	int again_fd; /* eventfd: come back; any thread */
	struct loop_watch *again_watch;
	int spare_fd; /* given up for a moment when descriptors run out: see turn_away */
	atomic_bool ready;
	atomic_bool look_for_waiting; /* something changed for connections in VSOCK_WAITING */
	bool running;                 /* between activate and reset */
	bool reset_pending;
	bool tx_blocked; /* too many RSTs owed */

	struct slot *first, *last; /* connections with something for the guest, in turn */
	struct rst rsts[RSTS_MAX];
	unsigned rst_first, rst_count;
	uint32_t serial;
	uint64_t order;
	struct log_limit complaints; /* the device's own are the transport's */
	atomic_uint in_use;
	struct slot slots[VSOCK_CONNECTIONS_MAX]; /* untouched, and so without memory, until first used */
};

static struct virtio_vsock *vsock_of(struct virtio_device *device)
{
	return (struct virtio_vsock *)device;
}

static void refuse(struct virtio_vsock *v, const char *why)
{
	atomic_fetch_add_explicit(&v->device.refused, 1, memory_order_relaxed);
	if (log_limit_allows(&v->complaints, COMPLAINTS_PER_SECOND))
		log_warn("vsock: refused from the guest: %s", why);
}

static void come_back(struct virtio_vsock *v)
{
	/* Fails only when the counter is full, and then it is readable anyway. */
	(void)eventfd_write(v->again_fd, 1);
}

static void enlist(struct slot *slot)
{
	struct virtio_vsock *v = slot->vsock;

	if (slot->listed)
		return;
	slot->listed = true;
	slot->next = NULL;
	slot->previous = v->last;
	if (v->last)
		v->last->next = slot;
	else
		v->first = slot;
	v->last = slot;
}

static void unlist(struct slot *slot)
{
	struct virtio_vsock *v = slot->vsock;

	if (!slot->listed)
		return;
	slot->listed = false;
	if (slot->previous)
		slot->previous->next = slot->next;
	else
		v->first = slot->next;
	if (slot->next)
		slot->next->previous = slot->previous;
	else
		v->last = slot->previous;
}

static void owe_rst(struct virtio_vsock *v, uint32_t host_port, uint32_t guest_port, uint16_t type)
{
	assert(v->rst_count < RSTS_MAX);
	v->rsts[(v->rst_first + v->rst_count++) % RSTS_MAX] = (struct rst){ host_port, guest_port, type };
}

/* Nobody on the host is waiting for anything, and how long the guest takes is up to it. */
static bool may_be_evicted(const struct vsock_conn *conn)
{
	return (conn->state == VSOCK_CLOSING && conn->fd < 0) || (conn->state == VSOCK_TO_GUEST && conn->hung_up);
}

/* After anything that happened to a connection: does what it asks for. The slot may be free afterwards. */
static void settle(struct slot *slot)
{
	struct virtio_vsock *v = slot->vsock;
	struct vsock_conn *conn = &slot->conn;

	if (conn->abort_reason) {
		refuse(v, conn->abort_reason);
		conn->abort_reason = NULL;
	}
	if (conn->state == VSOCK_WAITING && v->running && atomic_load(&v->ready))
		vsock_conn_step(conn, VSOCK_READY);
	if (conn->rst_owed) {
		owe_rst(v, conn->host_port, conn->guest_port, VSOCK_TYPE_STREAM);
		conn->rst_owed = false;
	}
	int interest = vsock_conn_interest(conn);
	if (interest < 0) {
		loop_remove(v->loop, slot->watch);
		slot->watch = NULL;
		vsock_conn_tidy(conn);
	} else if (slot->watch) {
		loop_change(v->loop, slot->watch, (uint32_t)interest);
	}
	if (vsock_conn_wants_rx(conn))
		enlist(slot);
	else
		unlist(slot);
	if (may_be_evicted(conn) && !slot->closing_order)
		slot->closing_order = ++v->order;
	if (conn->state == VSOCK_FREE && slot->counted) {
		slot->counted = false;
		atomic_fetch_sub(&v->in_use, 1);
	}
	if (conn->state == VSOCK_FREE || slot->closing_order)
		loop_change(v->loop, v->listen_watch, EPOLLIN);
}

static void reset_connections(struct virtio_vsock *v)
{
	v->rst_count = 0;
	v->tx_blocked = false;
	for (unsigned i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		struct slot *slot = &v->slots[i];

		if (slot->conn.state == VSOCK_FREE)
			continue;
		vsock_conn_step(&slot->conn, VSOCK_RESET);
		settle(slot);
	}
}

/* First thing on every way in from the loop. */
static void catch_up(struct virtio_vsock *v)
{
	if (!v->reset_pending)
		return;
	v->reset_pending = false;
	reset_connections(v);
}

/* The guest's connections cannot go on, and their host programs should not wait for a reset that may not come. */
static void queue_is_broken(struct virtio_vsock *v, const struct virtqueue *queue)
{
	v->running = false;
	v->device.fail(&v->device, queue->why);
	reset_connections(v);
}

static void write_header(struct virtio_vsock *v, const struct virtq_chain *chain, struct vsock_header *header)
{
	uint8_t bytes[VSOCK_HEADER_SIZE];

	header->src_cid = VSOCK_CID_HOST;
	header->dst_cid = v->guest_cid;
	vsock_header_pack(bytes, header);
	iovec_write(virtq_chain_writable(chain), chain->writable_count, 0, bytes, sizeof bytes);
}

static void send_rst(struct virtio_vsock *v, const struct virtq_chain *chain)
{
	const struct rst *rst = &v->rsts[v->rst_first];
	struct vsock_header header = {
		.src_port = rst->host_port, .dst_port = rst->guest_port, .type = rst->type, .op = VSOCK_OP_RST
	};

	write_header(v, chain, &header);
	v->rst_first = (v->rst_first + 1) % RSTS_MAX;
	v->rst_count--;
}

/* The next connection's packet into the chain. Returns its size, 0 if nobody had one. */
static size_t send_next(struct virtio_vsock *v, const struct virtq_chain *chain)
{
	struct slot *slot;

	while ((slot = v->first)) {
		struct vsock_conn *conn = &slot->conn;
		struct vsock_header header = { .src_port = conn->host_port,
					       .dst_port = conn->guest_port,
					       .type = VSOCK_TYPE_STREAM };
		struct iovec room[VIRTQ_CHAIN_MAX];
		unsigned count = iovec_slice(virtq_chain_writable(chain), chain->writable_count, VSOCK_HEADER_SIZE,
					     vsock_conn_data_limit(conn), room, VIRTQ_CHAIN_MAX);
		bool filled = vsock_conn_fill(conn, &header, room, count);

		unlist(slot);
		/* With more to say it goes to the end of the line, and its watch can stay as it is. */
		if (filled && vsock_conn_wants_rx(conn)) {
			enlist(slot);
		} else {
			settle(slot);
			assert(filled || !slot->listed); /* or this would not end */
		}
		if (filled) {
			write_header(v, chain, &header);
			return VSOCK_HEADER_SIZE + (size_t)header.len;
		}
	}
	return 0;
}

static void signal_if_wanted(struct virtio_vsock *v, unsigned index)
{
	if (virtqueue_should_signal(&v->device.queues[index]))
		v->device.signal_queue(&v->device, index);
}

/* Packets for the guest, as far as it has given buffers. */
static void serve_rx(struct virtio_vsock *v)
{
	struct virtqueue *queue = &v->device.queues[QUEUE_RX];
	struct virtq_chain chain;

	for (unsigned budget = RX_BUDGET; v->running && (v->rst_count || v->first); budget--) {
		if (budget == 0) {
			come_back(v);
			break;
		}
		int got = virtqueue_pop(queue, &chain);
		if (got < 0) {
			queue_is_broken(v, queue);
			return;
		}
		if (got == 0) {
			/* A notification is of use only now. */
			if (virtqueue_enable_kick(queue))
				continue;
			break;
		}
		virtqueue_disable_kick(queue);
		size_t used = 0;
		/* One byte more than a header, or a connection with data could be in its turn for ever. */
		if (chain.writable_length <= VSOCK_HEADER_SIZE) {
			refuse(v, "a receive buffer without room for a packet");
		} else if (v->rst_count) {
			send_rst(v, &chain);
			used = VSOCK_HEADER_SIZE;
		} else {
			used = send_next(v, &chain);
			if (used == 0) {
				virtqueue_unpop(queue);
				break;
			}
		}
		virtqueue_push(queue, chain.head, (uint32_t)used);
	}
	signal_if_wanted(v, QUEUE_RX);
	if (v->tx_blocked && v->rst_count < RSTS_GUEST_MAX)
		come_back(v);
}

static struct slot *slot_of(struct virtio_vsock *v, const struct vsock_header *header)
{
	struct slot *slot = &v->slots[header->dst_port % VSOCK_CONNECTIONS_MAX];

	if (!vsock_conn_has_guest(&slot->conn) || slot->conn.host_port != header->dst_port ||
	    slot->conn.guest_port != header->src_port)
		return NULL;
	return slot;
}

/* One packet of the guest's. No loop, and no queue but the chain. */
static void handle_packet(struct virtio_vsock *v, const struct virtq_chain *chain)
{
	uint8_t bytes[VSOCK_HEADER_SIZE];
	struct vsock_header header;
	struct iovec data[VIRTQ_CHAIN_MAX];

	if (iovec_read(virtq_chain_readable(chain), chain->readable_count, 0, bytes, sizeof bytes) < sizeof bytes) {
		refuse(v, "a packet shorter than its header");
		return;
	}
	vsock_header_unpack(bytes, &header);
	if (header.src_cid != v->guest_cid || header.dst_cid != VSOCK_CID_HOST) {
		/* Not answered: an answer would go to an address that is not the guest's. */
		refuse(v, "a packet that is not from this guest to the host");
		return;
	}
	if (header.type != VSOCK_TYPE_STREAM) {
		refuse(v, "a packet that is not of a stream");
		if (header.op != VSOCK_OP_RST)
			owe_rst(v, header.dst_port, header.src_port, header.type);
		return;
	}
	struct slot *slot = slot_of(v, &header);
	if (!slot) {
		/* A request, or what was under way when its connection ended: no reason for a complaint. */
		if (header.op != VSOCK_OP_RST)
			owe_rst(v, header.dst_port, header.src_port, header.type);
		return;
	}
	if (header.len != chain->readable_length - VSOCK_HEADER_SIZE || (header.len != 0 && header.op != VSOCK_OP_RW)) {
		/* With an unknown number of bytes missing, the stream is of no use any more. */
		slot->conn.abort_reason = "a packet of another length than its header says";
		vsock_conn_step(&slot->conn, VSOCK_ABORT);
	} else {
		unsigned count = iovec_slice(virtq_chain_readable(chain), chain->readable_count, VSOCK_HEADER_SIZE,
					     header.len, data, VIRTQ_CHAIN_MAX);

		vsock_conn_packet(&slot->conn, &header, data, count);
	}
	settle(slot);
}

/* Packets from the guest. */
static void serve_tx(struct virtio_vsock *v)
{
	struct virtqueue *queue = &v->device.queues[QUEUE_TX];
	struct virtq_chain chain;
	unsigned budget = TX_BUDGET;

	if (!v->running)
		return;
	virtqueue_disable_kick(queue);
	while (v->running) {
		v->tx_blocked = v->rst_count >= RSTS_GUEST_MAX;
		if (v->tx_blocked)
			break; /* serve_rx comes back for the rest */
		if (budget-- == 0) {
			come_back(v);
			break;
		}
		int got = virtqueue_pop(queue, &chain);
		if (got < 0) {
			queue_is_broken(v, queue);
			return;
		}
		if (got == 0) {
			if (virtqueue_enable_kick(queue))
				continue;
			break;
		}
		atomic_fetch_add_explicit(&v->device.requests, 1, memory_order_relaxed);
		handle_packet(v, &chain);
		virtqueue_push(queue, chain.head, 0);
	}
	signal_if_wanted(v, QUEUE_TX);
}

static void queue_kicked(struct virtio_device *device, unsigned index)
{
	struct virtio_vsock *v = vsock_of(device);

	catch_up(v);
	if (index == QUEUE_TX)
		serve_tx(v);
	if (index != QUEUE_EVENT)
		serve_rx(v);
}

/* A connection's socket has something to say. */
static void socket_ready(void *arg, uint32_t events)
{
	struct slot *slot = arg;
	struct virtio_vsock *v = slot->vsock;

	pthread_mutex_lock(&v->device.lock);
	catch_up(v);
	if (slot->watch) { /* catch_up may have ended it */
		vsock_conn_socket_ready(&slot->conn, events);
		/* Served before it is settled: mostly the socket is empty then, and its watch need not change. */
		if (vsock_conn_wants_rx(&slot->conn))
			enlist(slot);
		serve_rx(v);
		settle(slot);
		/* Settling may have made a request, or a RST. */
		if (slot->conn.state == VSOCK_CONNECTING || v->rst_count)
			serve_rx(v);
	}
	pthread_mutex_unlock(&v->device.lock);
}

/* More work of a kind that has no watch of its own. */
static void again(void *arg, uint32_t events)
{
	struct virtio_vsock *v = arg;
	eventfd_t count;

	(void)events;
	(void)eventfd_read(v->again_fd, &count);
	pthread_mutex_lock(&v->device.lock);
	catch_up(v);
	if (atomic_exchange(&v->look_for_waiting, false)) {
		for (unsigned i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
			if (v->slots[i].conn.state == VSOCK_WAITING)
				settle(&v->slots[i]);
		}
	}
	serve_tx(v);
	serve_rx(v);
	pthread_mutex_unlock(&v->device.lock);
}

/* A free slot, if need be by giving up the connection that was left to the guest alone for the longest time. */
static struct slot *find_slot(struct virtio_vsock *v, bool evict)
{
	struct slot *oldest = NULL;

	for (unsigned i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		struct slot *slot = &v->slots[i];

		if (slot->conn.state == VSOCK_FREE)
			return slot;
		if (may_be_evicted(&slot->conn) && (!oldest || slot->closing_order < oldest->closing_order))
			oldest = slot;
	}
	if (!evict)
		return NULL;
	if (oldest) {
		vsock_conn_step(&oldest->conn, VSOCK_EVICT);
		settle(oldest);
	}
	return oldest;
}

/* No descriptor is left: the program that connected is told so by a close, or the loop would spin on its request. */
static void turn_away(struct virtio_vsock *v)
{
	if (log_limit_allows(&v->complaints, COMPLAINTS_PER_SECOND))
		log_warn("vsock: a connection was turned away: %m");
	close_fd(&v->spare_fd);
	auto_fd int fd = accept4(v->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	close_fd(&fd);
	v->spare_fd = fcntl(v->again_fd, F_DUPFD_CLOEXEC, 0);
}

/* False: nothing more to accept now. The first of a dispatch is known to be there. */
static bool accept_one(struct virtio_vsock *v, bool first)
{
	struct slot *slot = find_slot(v, first);

	if (!slot) {
		if (first)
			loop_change(v->loop, v->listen_watch, 0); /* settle turns it on again */
		return false;
	}
	auto_fd int fd = accept4(v->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE)
			turn_away(v);
		return errno == ECONNABORTED;
	}
	uint32_t number = v->serial++ * VSOCK_CONNECTIONS_MAX + (uint32_t)(slot - v->slots);
	slot->vsock = v;
	slot->closing_order = 0;
	slot->watch = loop_add_fd(v->loop, fd, EPOLLIN, socket_ready, slot);
	if (!slot->watch) {
		log_warn("vsock: a connection was turned away: %m");
		return true;
	}
	vsock_conn_accept(&slot->conn, take_fd(&fd), HOST_PORT_BASE | (number & HOST_PORT_MASK), VSOCK_BUFFER);
	slot->counted = true;
	atomic_fetch_add(&v->in_use, 1);
	return true;
}

static void listener_readable(void *arg, uint32_t events)
{
	struct virtio_vsock *v = arg;

	(void)events;
	pthread_mutex_lock(&v->device.lock);
	catch_up(v);
	for (unsigned i = 0; i < ACCEPT_BUDGET && accept_one(v, i == 0); i++)
		;
	serve_rx(v); /* an eviction may have left a RST */
	pthread_mutex_unlock(&v->device.lock);
}

static void activate(struct virtio_device *device)
{
	struct virtio_vsock *v = vsock_of(device);

	v->running = true;
	atomic_store(&v->look_for_waiting, true);
	virtqueue_disable_kick(&device->queues[QUEUE_RX]);
	come_back(v);
}

static void reset(struct virtio_device *device)
{
	struct virtio_vsock *v = vsock_of(device);

	v->running = false;
	v->reset_pending = true;
	come_back(v);
}

static void config_read(struct virtio_device *device, size_t offset, void *out, size_t length)
{
	uint8_t config[8];

	for (unsigned i = 0; i < sizeof config; i++)
		config[i] = (uint8_t)(vsock_of(device)->guest_cid >> (8 * i));
	memcpy(out, config + offset, length);
}

/* Also half built. */
static void destroy(struct virtio_device *device)
{
	struct virtio_vsock *v = vsock_of(device);

	for (unsigned i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		struct slot *slot = &v->slots[i];

		if (slot->conn.state == VSOCK_FREE)
			continue;
		loop_remove(v->loop, slot->watch);
		vsock_conn_destroy(&slot->conn);
	}
	loop_remove(v->loop, v->listen_watch);
	loop_remove(v->loop, v->again_watch);
	close_fd(&v->listen_fd);
	close_fd(&v->again_fd);
	close_fd(&v->spare_fd);
	virtio_device_fini(device);
	free(v);
}

static const struct virtio_device_ops ops = {
	.name = "vsock",
	.device_id = DEVICE_ID,
	.features = FEATURE_STREAM,
	.queue_size = QUEUE_SIZE,
	.activate = activate,
	.queue_kicked = queue_kicked,
	.reset = reset,
	.config_size = 8,
	.config_read = config_read,
	.destroy = destroy,
};

struct virtio_device *virtio_vsock_create(struct loop *loop, uint64_t guest_cid, int listen_fd, struct err *err)
{
	struct virtio_vsock *v = calloc(1, sizeof *v);

	if (!v) {
		close_fd(&listen_fd);
		err_set(err, ENOMEM, "vsock device: out of memory");
		return NULL;
	}
	virtio_device_init(&v->device, &ops, QUEUE_COUNT);
	v->device.own_calls = true; /* interrupts are many, and each would cost two exits more */
	v->loop = loop;
	v->guest_cid = guest_cid;
	v->listen_fd = listen_fd;
	v->again_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	v->spare_fd = fcntl(v->again_fd, F_DUPFD_CLOEXEC, 0);
	/* Without it, a program that goes away between the event and accept4 would stop the loop. */
	if (v->again_fd < 0 || v->spare_fd < 0 || fcntl(listen_fd, F_SETFL, O_NONBLOCK) < 0 ||
	    !(v->listen_watch = loop_add_fd(loop, listen_fd, EPOLLIN, listener_readable, v)) ||
	    !(v->again_watch = loop_add_fd(loop, v->again_fd, EPOLLIN, again, v))) {
		err_set_errno(err, "vsock device: cannot listen on fd %d", listen_fd);
		destroy(&v->device);
		return NULL;
	}
	return &v->device;
}

void virtio_vsock_set_ready(struct virtio_device *device)
{
	struct virtio_vsock *v = vsock_of(device);

	atomic_store(&v->ready, true);
	atomic_store(&v->look_for_waiting, true);
	come_back(v);
}

uint32_t virtio_vsock_serial(struct virtio_device *device)
{
	return vsock_of(device)->serial;
}

void virtio_vsock_set_serial(struct virtio_device *device, uint32_t serial)
{
	vsock_of(device)->serial = serial;
}

int virtio_vsock_tell_reset(struct virtio_device *device, struct err *err)
{
	static const uint8_t transport_reset[4] = { 0 };
	struct virtqueue *queue = &device->queues[QUEUE_EVENT];
	struct virtq_chain chain;
	int result = -1;

	pthread_mutex_lock(&device->lock);
	if (device->active && virtqueue_pop(queue, &chain) > 0) {
		size_t written = iovec_write(virtq_chain_writable(&chain), chain.writable_count, 0, transport_reset,
					     sizeof transport_reset);

		virtqueue_push(queue, chain.head, (uint32_t)written);
		if (virtqueue_should_signal(queue))
			device->signal_queue(device, QUEUE_EVENT);
		result = 0;
	}
	pthread_mutex_unlock(&device->lock);
	return result ? err_set(err, EBADMSG, "vsock: the saved guest cannot be told that it is another one") : 0;
}

unsigned virtio_vsock_connections(struct virtio_device *device)
{
	return atomic_load(&vsock_of(device)->in_use);
}
