/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_net.c - network device, virtio 1.2 section 5.1, in front of a tap (or of vhost-net, see net_vhost.h).
 *
 * Packets go between the tap and the guest's buffers without a copy of ours: readv and writev on the segments. Each
 * header from the guest is copied, checked against its packet (net_header.h) and sent from the copy.
 *
 * A guest can send what it likes onto its interface, as a container on a veth can. A malformed packet is dropped and
 * counted; a malformed ring stops this device. A guest that gives no receive buffers gets nothing: the tap is not
 * polled meanwhile, and its queue in the host's kernel drops what it has no room for. A receive buffer without room for
 * a header is given back empty. Work per call is bounded.
 */
#include "vmm/virtio_net.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/loop.h"
#include "vmm/net_header.h"
#include "vmm/net_vhost.h"
#include "vmm/virtio_device.h"

#include <errno.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

enum {
	DEVICE_ID = 1,
	QUEUE_RECEIVE = 0,
	QUEUE_TRANSMIT = 1,
	QUEUE_COUNT = 2,
	QUEUE_SIZE = 256,
	RECEIVE_BUDGET = 64, /* packets per call */
	TRANSMIT_BUDGET = 64,
	BUFFERS_MAX = 128, /* receive buffers held at once: two packets of 64 KiB in pieces of 1.5 KiB fit */
	BUFFER_SEGMENTS = 20,
	USELESS_BUDGET = 64, /* buffers too small for a header that are given back per call */
	HEADER = sizeof(struct net_header),
	MAC_SIZE = 6,
};

/* Segmented by the sender's host, TUN_F_* of <linux/if_tun.h> from kernel 6.2 on; unknown to older headers. */
#define TAP_F_USO (0x20u | 0x40u)

#define FEATURES_ALWAYS                                                                                      \
	(NET_F_CSUM | NET_F_GUEST_CSUM | NET_F_MAC | NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | NET_F_GUEST_ECN | \
	 NET_F_HOST_TSO4 | NET_F_HOST_TSO6 | NET_F_HOST_ECN | NET_F_MRG_RXBUF)
#define FEATURES_USO (NET_F_GUEST_USO4 | NET_F_GUEST_USO6 | NET_F_HOST_USO)

/* A receive buffer of the guest's that waits for a packet. */
struct buffer {
	uint16_t head;
	unsigned count;
	size_t length;
	struct iovec segments[BUFFER_SEGMENTS];
};

struct virtio_net {
	struct virtio_device device;
	struct virtio_device_ops ops; /* our own copy: what is offered depends on the tap */
	struct loop *loop;
	int tap_fd;
	struct loop_watch *watch; /* on the loop thread only; NULL when the tap has gone */
	struct net_vhost *vhost;  /* NULL: packets go through this process */
	uint8_t mac[MAC_SIZE];

	/* Under device.lock, between activate and reset. */
	struct buffer buffers[BUFFERS_MAX];
	unsigned first, held; /* a part of the array: consumed from the front, refilled when empty or short */
	size_t held_length;
	struct virtq_chain chain; /* scratch: large */
	struct log_limit drops;
};

static struct virtio_net *net_of(struct virtio_device *device)
{
	return (struct virtio_net *)device;
}

static void poll_tap(struct virtio_net *net, bool want)
{
	if (net->watch)
		loop_change(net->loop, net->watch, want ? EPOLLIN : 0);
}

/* --- from the guest ------------------------------------------------------------------------------------------ */

/* Sends the chain's packet; it is gone afterwards in any case, as on a wire. */
static void handle_transmit(struct virtio_net *net, const struct virtq_chain *chain)
{
	struct virtio_device *device = &net->device;
	struct net_header header;
	struct iovec packet[VIRTQ_CHAIN_MAX + 1];
	const struct iovec *readable = virtq_chain_readable(chain);
	const char *fault = "a packet without a header";
	size_t length = chain->readable_length - HEADER;

	if (chain->readable_length >= HEADER &&
	    iovec_read(readable, chain->readable_count, 0, &header, HEADER) == HEADER) {
		header.num_buffers = 0;
		fault = net_header_fault(&header, length, device->driver_features);
	}
	if (fault) {
		atomic_fetch_add_explicit(&device->refused, 1, memory_order_relaxed);
		if (log_limit_allows(&net->drops, 1))
			log_info("%s: a packet of the guest's is dropped: %s", device->ops->name, fault);
		return;
	}
	packet[0] = (struct iovec){ .iov_base = &header, .iov_len = HEADER };
	unsigned count = iovec_slice(readable, chain->readable_count, HEADER, length, packet + 1, VIRTQ_CHAIN_MAX);
	/* A full queue or an interface that is down drops packets; nobody is told on a real wire either. */
	while (writev(net->tap_fd, packet, (int)count + 1) < 0 && errno == EINTR)
		;
}

static void transmit(struct virtio_net *net)
{
	struct virtio_device *device = &net->device;
	struct virtqueue *queue = &device->queues[QUEUE_TRANSMIT];
	unsigned budget = TRANSMIT_BUDGET;
	int popped;

	virtqueue_disable_kick(queue);
	do {
		while (budget && (popped = virtqueue_pop(queue, &net->chain)) > 0) {
			handle_transmit(net, &net->chain);
			virtqueue_push(queue, net->chain.head, 0);
			atomic_fetch_add_explicit(&device->requests, 1, memory_order_relaxed);
			budget--;
		}
	} while (budget && virtqueue_enable_kick(queue));
	if (virtqueue_should_signal(queue))
		device->signal_queue(device, QUEUE_TRANSMIT);
	if (queue->broken)
		device->fail(device, queue->why);
	else if (!budget) /* there may be more: come back after the others */
		eventfd_write(device->kick_fds[QUEUE_TRANSMIT], 1);
}

/* --- to the guest -------------------------------------------------------------------------------------------- */

static bool has_merged_buffers(const struct virtio_net *net)
{
	return net->device.driver_features & NET_F_MRG_RXBUF;
}

/* What the next packet may need: the tap makes no pieces of a packet that it thinks we take whole. */
static bool has_room(const struct virtio_net *net)
{
	return has_merged_buffers(net) ? net->held_length >= HEADER + NET_PACKET_MAX || net->held == BUFFERS_MAX
				       : net->held;
}

static void give_back_useless(struct virtio_net *net, uint16_t head)
{
	struct virtio_device *device = &net->device;

	atomic_fetch_add_explicit(&device->refused, 1, memory_order_relaxed);
	if (log_limit_allows(&net->drops, 1))
		log_info("%s: a receive buffer of the guest's has no room for a header", device->ops->name);
	virtqueue_push(&device->queues[QUEUE_RECEIVE], head, 0);
}

/*
 * Takes buffers from the queue until there are enough, or none. One without room for a header is of no use: held, it
 * would count as room, and a tap that is readable but cannot be read into it would keep the loop busy for good.
 */
static void hold_buffers(struct virtio_net *net)
{
	struct virtqueue *queue = &net->device.queues[QUEUE_RECEIVE];
	unsigned useless = 0;

	if (net->first) {
		memmove(net->buffers, net->buffers + net->first, net->held * sizeof *net->buffers);
		net->first = 0;
	}
	while (net->held < BUFFERS_MAX && net->held_length < 2 * (HEADER + NET_PACKET_MAX)) {
		struct buffer *buffer = &net->buffers[net->held];

		if (virtqueue_pop(queue, &net->chain) <= 0)
			return;
		buffer->head = net->chain.head;
		/* Of a buffer in very many pieces the first are used. */
		buffer->count = iovec_slice(virtq_chain_writable(&net->chain), net->chain.writable_count, 0,
					    net->chain.writable_length, buffer->segments, BUFFER_SEGMENTS);
		buffer->length = 0;
		for (unsigned i = 0; i < buffer->count; i++)
			buffer->length += buffer->segments[i].iov_len;
		if (buffer->length < HEADER) {
			give_back_useless(net, buffer->head);
			if (++useless < USELESS_BUDGET)
				continue;
			/* There may be more: come back after the others. */
			eventfd_write(net->device.kick_fds[QUEUE_RECEIVE], 1);
			return;
		}
		net->held_length += buffer->length;
		net->held++;
	}
}

/* False: the driver must give more buffers first, or broke the queue. */
static bool make_room(struct virtio_net *net)
{
	if (!has_room(net))
		hold_buffers(net);
	return has_room(net) && !net->device.queues[QUEUE_RECEIVE].broken;
}

/* Gives the packet of `length` bytes, header included, that lies in the first buffers to the driver. */
static void deliver(struct virtio_net *net, size_t length)
{
	struct virtqueue *queue = &net->device.queues[QUEUE_RECEIVE];
	struct buffer *first = &net->buffers[net->first];
	unsigned used = 0;

	for (size_t counted = 0; used < net->held && counted < length; used++)
		counted += net->buffers[net->first + used].length;
	const uint16_t number = (uint16_t)used;
	iovec_write(first->segments, first->count, offsetof(struct net_header, num_buffers), &number, sizeof number);
	while (used--) {
		struct buffer *buffer = &net->buffers[net->first++];
		size_t part = length < buffer->length ? length : buffer->length;

		net->held--;
		net->held_length -= buffer->length;
		length -= part;
		virtqueue_push(queue, buffer->head, (uint32_t)part);
	}
	atomic_fetch_add_explicit(&net->device.requests, 1, memory_order_relaxed);
}

/* One packet from the tap into the held buffers. False: there is none, or the tap has gone. */
static bool receive_one(struct virtio_net *net)
{
	struct iovec room[BUFFERS_MAX * BUFFER_SEGMENTS];
	unsigned count = 0, buffers = has_merged_buffers(net) ? net->held : 1;
	size_t length = 0;

	for (unsigned i = 0; i < buffers && length < HEADER + NET_PACKET_MAX; i++) {
		const struct buffer *buffer = &net->buffers[net->first + i];

		if (count + buffer->count > IOV_MAX)
			break;
		memcpy(room + count, buffer->segments, buffer->count * sizeof *room);
		count += buffer->count;
		length += buffer->length;
	}
	ssize_t n = readv(net->tap_fd, room, (int)count);
	if (n < 0)
		return errno == EINTR || errno == EFAULT; /* EFAULT: it did not fit, and is gone */
	/* A tap gives at least its header. A buffer that does not even take that breaks the rules, and gets nothing. */
	if ((size_t)n >= HEADER && (size_t)n <= length)
		deliver(net, (size_t)n);
	return n > 0;
}

static void receive(struct virtio_net *net)
{
	struct virtio_device *device = &net->device;
	struct virtqueue *queue = &device->queues[QUEUE_RECEIVE];
	bool has_more = true;
	unsigned budget = RECEIVE_BUDGET;

	while (make_room(net) && budget-- && has_more)
		has_more = receive_one(net);
	if (virtqueue_should_signal(queue))
		device->signal_queue(device, QUEUE_RECEIVE);
	if (queue->broken)
		device->fail(device, queue->why);
	/* Without room the queue was empty, and the driver's next kick, which virtqueue_pop asked for, comes here. */
	poll_tap(net, has_room(net) && !queue->broken);
}

static void tap_readable(void *arg, uint32_t events)
{
	struct virtio_net *net = arg;
	struct virtio_device *device = &net->device;

	pthread_mutex_lock(&device->lock);
	if (events & (EPOLLERR | EPOLLHUP)) {
		/* The interface was taken away. The guest's stays, without a wire. */
		log_debug("%s: the tap is gone", device->ops->name);
		loop_remove(net->loop, net->watch);
		net->watch = NULL;
	} else if (device->active) {
		receive(net);
	} else {
		poll_tap(net, false);
	}
	pthread_mutex_unlock(&device->lock);
}

static void queue_kicked(struct virtio_device *device, unsigned index)
{
	if (index == QUEUE_TRANSMIT)
		transmit(net_of(device));
	else
		receive(net_of(device));
}

/* --- life ---------------------------------------------------------------------------------------------------- */

static void config_read(struct virtio_device *device, size_t offset, void *out, size_t length)
{
	memcpy(out, net_of(device)->mac + offset, length);
}

/* What the tap may hand over without finishing it. */
static unsigned tap_offloads(uint64_t features)
{
	unsigned offloads = 0;

	if (!(features & NET_F_GUEST_CSUM))
		return 0;
	offloads |= TUN_F_CSUM;
	if (features & NET_F_GUEST_TSO4)
		offloads |= TUN_F_TSO4;
	if (features & NET_F_GUEST_TSO6)
		offloads |= TUN_F_TSO6;
	if (features & NET_F_GUEST_ECN && offloads & (TUN_F_TSO4 | TUN_F_TSO6))
		offloads |= TUN_F_TSO_ECN;
	if ((features & (NET_F_GUEST_USO4 | NET_F_GUEST_USO6)) == (NET_F_GUEST_USO4 | NET_F_GUEST_USO6))
		offloads |= TAP_F_USO;
	return offloads;
}

static void forget_buffers(struct virtio_net *net)
{
	net->first = net->held = 0;
	net->held_length = 0;
}

static void activate(struct virtio_device *device)
{
	struct virtio_net *net = net_of(device);

	forget_buffers(net);
	/* Fails on a socket, as tests have, and on a tap that has gone. */
	(void)ioctl(net->tap_fd, TUNSETOFFLOAD, (unsigned long)tap_offloads(device->driver_features));
	if (net->vhost && !net_vhost_start(net->vhost, device, net->tap_fd))
		device->fail(device, "vhost-net refuses its rings");
}

static void reset(struct virtio_device *device)
{
	struct virtio_net *net = net_of(device);

	if (net->vhost)
		net_vhost_stop(net->vhost);
	forget_buffers(net);
}

static void destroy(struct virtio_device *device)
{
	struct virtio_net *net = net_of(device);

	loop_remove(net->loop, net->watch);
	net_vhost_destroy(net->vhost);
	close_fd(&net->tap_fd);
	virtio_device_fini(device);
	free(net);
}

static const struct virtio_device_ops net_ops = {
	.name = "virtio-net",
	.device_id = DEVICE_ID,
	.features = FEATURES_ALWAYS,
	.queue_size = QUEUE_SIZE,
	.activate = activate,
	.queue_kicked = queue_kicked,
	.reset = reset,
	.config_size = MAC_SIZE,
	.config_read = config_read,
	.destroy = destroy,
};

/* Header size and byte order for good; and whether it knows how to leave UDP whole. */
static bool prepare_tap(int fd)
{
	int header = HEADER, little = 1;

	(void)ioctl(fd, TUNSETVNETHDRSZ, &header);
	(void)ioctl(fd, TUNSETVNETLE, &little);
	bool knows_uso = ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TAP_F_USO) == 0;
	(void)ioctl(fd, TUNSETOFFLOAD, 0);
	return knows_uso;
}

void virtio_net_memory_grew(struct virtio_device *device)
{
	struct virtio_net *net = net_of(device);

	pthread_mutex_lock(&device->lock);
	if (net->vhost && device->active && !net_vhost_set_memory(net->vhost, device))
		device->fail(device, "vhost-net refuses the memory that was added");
	pthread_mutex_unlock(&device->lock);
}

bool virtio_net_describe(struct virtio_device *device, uint8_t mac[6])
{
	struct virtio_net *net = net_of(device);

	memcpy(mac, net->mac, MAC_SIZE);
	return net->ops.features & FEATURES_USO;
}

void virtio_net_hold(struct virtio_device *device, bool held)
{
	struct virtio_net *net = net_of(device);

	pthread_mutex_lock(&device->lock);
	if (net->vhost && device->active) {
		if (held)
			net_vhost_stop(net->vhost);
		else if (!net_vhost_go_on(net->vhost, device, net->tap_fd))
			device->fail(device, "vhost-net does not take its rings again");
	}
	pthread_mutex_unlock(&device->lock);
}

void virtio_net_unplug(struct virtio_device *device)
{
	struct virtio_net *net = net_of(device);

	pthread_mutex_lock(&device->lock);
	loop_remove(net->loop, net->watch);
	net->watch = NULL;
	if (net->vhost && device->active)
		net_vhost_stop(net->vhost);
	net_vhost_destroy(net->vhost);
	net->vhost = NULL;
	close_fd(&net->tap_fd);
	pthread_mutex_unlock(&device->lock);
}

bool virtio_net_replug(struct virtio_device *device, const uint8_t mac[6], int *tap_fd, int *vhost_fd)
{
	struct virtio_net *net = net_of(device);
	struct err ignored = ERR_INIT;
	bool is_done = false;

	pthread_mutex_lock(&device->lock);
	if (device->active || net->tap_fd >= 0)
		goto out;
	if (*vhost_fd >= 0)
		net->vhost = net_vhost_create(take_fd(vhost_fd), &ignored);
	else
		net->watch = loop_add_fd(net->loop, *tap_fd, 0, tap_readable, net);
	is_done = net->vhost || net->watch;
	if (is_done) {
		net->tap_fd = take_fd(tap_fd);
		(void)prepare_tap(net->tap_fd); /* the same kernel's, so it offers what it offered before */
		memcpy(net->mac, mac, MAC_SIZE);
	}
out:
	pthread_mutex_unlock(&device->lock);
	return is_done;
}

static struct virtio_net *make(struct loop *loop, const uint8_t mac[6])
{
	struct virtio_net *net = calloc(1, sizeof *net);

	if (!net)
		return NULL;
	net->ops = net_ops;
	virtio_device_init(&net->device, &net->ops, QUEUE_COUNT);
	net->device.own_calls = true; /* packets are many: each interrupt would cost two exits more */
	net->loop = loop;
	net->tap_fd = -1;
	memcpy(net->mac, mac, MAC_SIZE);
	return net;
}

struct virtio_device *virtio_net_create_unplugged(struct loop *loop, const uint8_t mac[6], bool with_vhost,
						  bool with_uso, struct err *err)
{
	struct virtio_net *net = make(loop, mac);

	if (!net) {
		err_set(err, ENOMEM, "virtio-net: out of memory");
		return NULL;
	}
	net->device.own_kicks = with_vhost;
	net->ops.features |= with_uso ? FEATURES_USO : 0;
	return &net->device;
}

struct virtio_device *virtio_net_create(struct loop *loop, const uint8_t mac[6], int tap_fd, int vhost_fd,
					struct err *err)
{
	struct virtio_net *net = make(loop, mac);

	if (!net) {
		close(tap_fd);
		close_fd(&vhost_fd);
		err_set(err, ENOMEM, "virtio-net: out of memory");
		return NULL;
	}
	net->tap_fd = tap_fd;
	if (prepare_tap(tap_fd))
		net->ops.features |= FEATURES_USO;
	if (vhost_fd >= 0) {
		net->vhost = net_vhost_create(vhost_fd, err);
		net->device.own_kicks = net->vhost;
		if (!net->vhost)
			goto fail;
		return &net->device;
	}
	net->watch = loop_add_fd(loop, tap_fd, 0, tap_readable, net);
	if (!net->watch) {
		err_set_errno(err, "virtio-net: cannot watch the tap");
		goto fail;
	}
	return &net->device;
fail:
	destroy(&net->device);
	return NULL;
}
