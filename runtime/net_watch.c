/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net_watch.h"

#include "runtime/control_client.h"
#include "runtime/frame.h"
#include "runtime/nameservers.h"
#include "runtime/proxy_devices.h"
#include "runtime/net_diff.h"
#include "runtime/net_links.h"
#include "runtime/net_tap.h"
#include "runtime/network.h"
#include "runtime/proxy_channel.h"
#include "runtime/resolver_relay.h"
#include "runtime/vm_socket.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/netlink.h"
#include "common/proto.h"

#include <assert.h>
#include <fcntl.h>
#include <pb_decode.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

/* An engine makes an interface in a dozen steps: the guest is told when they are over. */
enum { SETTLE_MS = 50, HELLO_ID = 1 };

enum step { IDLE, FINDING, ADDING, CONFIGURING, UNPLUGGING, REMOVING, NAMING, STEP_COUNT };

static const char *const step_names[] = {
	[IDLE] = "idle",
	[FINDING] = "finding",
	[ADDING] = "adding",
	[CONFIGURING] = "configuring",
	[UNPLUGGING] = "unplugging",
	[REMOVING] = "removing",
	[NAMING] = "naming",
};
static_assert(sizeof step_names / sizeof step_names[0] == STEP_COUNT, "a name for every step");

/* An interface that was seen. */
struct known {
	bool is_used;
	unsigned round;       /* in which the guest was told of a change last */
	bool is_ours;         /* this VM has it; otherwise it is left alone */
	uint64_t address;     /* of the device */
	struct net_link link; /* as the guest knows it */
};

struct net_watch {
	struct loop *loop;
	struct net_watch_settings settings;
	int dev_fd, sockets_fd, start_fd, netlink_fd, events_fd, timer_fd, control_fd;
	struct loop_watch *start_watch, *events_watch, *timer_watch, *control_watch;

	enum step step;
	unsigned round;        /* how often the namespace has changed */
	struct known *current; /* what the step is about */
	struct known known[NET_LINKS_MAX];

	struct channel *agent; /* NULL: not needed yet */
	bool has_lost_agent;
	uint32_t id; /* of the last request */
	struct resolver_relay *relay;
	struct nameservers nameservers;
};

static void look(struct net_watch *watch);

static const char *name_of(const struct known *known)
{
	return known->link.request.name;
}

static void forget(struct known *known)
{
	pb_release(agent_NetAddRequest_fields, &known->link.request);
	*known = (struct known){ 0 };
}

static void go_on(struct net_watch *watch)
{
	log_debug("network: done with %s%s%s", step_names[watch->step], watch->current ? " " : "",
		  watch->current ? name_of(watch->current) : "");
	watch->step = IDLE;
	watch->current = NULL;
	look(watch);
}

/* --- the monitor --------------------------------------------------------------------------------------------- */

static void monitor_answered(void *arg, uint32_t events);

/* False: no answer will come. */
static bool ask_monitor(struct net_watch *watch, const struct vmm_control_request *request, const int fds[2],
			struct err *err)
{
	watch->control_fd = vm_socket_connect_beneath(watch->settings.state_fd, VM_SOCKET_CONTROL, SOCK_SEQPACKET, err);
	if (watch->control_fd < 0)
		return false;
	watch->control_watch = loop_add_fd(watch->loop, watch->control_fd, EPOLLIN, monitor_answered, watch);
	if (watch->control_watch && control_send(watch->control_fd, request, fds) == 0)
		return true;
	err_set_errno(err, "cannot ask the monitor");
	loop_remove(watch->loop, watch->control_watch);
	watch->control_watch = NULL;
	close_fd(&watch->control_fd);
	return false;
}

static bool ask_monitor_about(struct net_watch *watch, enum vmm_control_op op, int index, struct err *err)
{
	const struct vmm_control_request request = { .op = op, .arg = (uint64_t)index };

	return ask_monitor(watch, &request, (const int[]){ -1, -1 }, err);
}

static void configure(struct net_watch *watch, const agent_NetAddRequest *request);

static void give_up_adding(struct net_watch *watch, const struct err *why)
{
	log_warn("network interface %s: %s", name_of(watch->current), why->text);
	net_tap_unwire(watch->netlink_fd, watch->current->link.index);
	go_on(watch);
}

static void monitor_answered(void *arg, uint32_t events)
{
	struct net_watch *watch = arg;
	struct known *current = watch->current;
	struct vmm_control_reply reply;
	struct err err = ERR_INIT;
	bool answered = control_receive(watch->control_fd, MSG_DONTWAIT, &reply) == 0;

	(void)events;
	loop_remove(watch->loop, watch->control_watch);
	watch->control_watch = NULL;
	close_fd(&watch->control_fd);
	int result = answered ? control_check(&reply, &err) : err_set(&err, ECONNRESET, "the monitor does not answer");
	if (watch->step == REMOVING) {
		forget(current);
		watch->current = NULL;
		go_on(watch);
		return;
	}
	if (result < 0 && watch->step == ADDING) {
		give_up_adding(watch, &err);
		return;
	}
	current->is_ours = result == 0;
	current->address = result == 0 ? reply.place.address : 0;
	if (watch->step != ADDING) {
		go_on(watch);
		return;
	}
	current->link.request.address = reply.place.address;
	current->link.request.irq = reply.place.irq;
	configure(watch, &current->link.request);
}

/* --- the guest ----------------------------------------------------------------------------------------------- */

static void agent_opened(void *arg)
{
	(void)arg; /* requests wait in the channel until then */
}

static void agent_gone(void *arg, const char *why)
{
	struct net_watch *watch = arg;

	log_debug("network: no more changes: %s", why);
	channel_destroy(watch->agent);
	watch->agent = NULL;
	watch->has_lost_agent = true;
}

static void unplugged(struct net_watch *watch)
{
	struct err err = ERR_INIT;

	watch->step = REMOVING;
	if (ask_monitor_about(watch, VMM_CONTROL_REMOVE_NET, watch->current->link.index, &err))
		return;
	forget(watch->current);
	watch->current = NULL;
	go_on(watch);
}

static void nameservers_told(struct net_watch *watch)
{
	struct err err = ERR_INIT;

	if (!watch->relay && watch->nameservers.count) {
		int fd = vm_socket_connect_beneath(watch->settings.state_fd, VM_SOCKET_VSOCK, SOCK_STREAM, &err);

		watch->relay = fd < 0 ? NULL : resolver_relay_create(watch->loop, fd, &err);
		if (!watch->relay)
			log_warn("names of the container's network will not resolve: %s", err.text);
	}
	if (watch->relay)
		resolver_relay_allow(watch->relay, &watch->nameservers);
	go_on(watch);
}

static void agent_received(void *arg, const struct proto_header *header, const uint8_t *payload)
{
	struct net_watch *watch = arg;
	struct err err = ERR_INIT;

	if (header->id == HELLO_ID && header->type == PROTO_HELLO_REPLY)
		return;
	if (header->id != watch->id ||
	    (watch->step != CONFIGURING && watch->step != UNPLUGGING && watch->step != NAMING)) {
		agent_gone(watch, "the guest sent an answer nobody asked for");
		return;
	}
	if (header->type == PROTO_ERROR) {
		frame_decode_error(payload, header->length, &err);
		log_warn("%s", err.text);
	}
	if (watch->step == UNPLUGGING)
		unplugged(watch);
	else if (watch->step == NAMING)
		nameservers_told(watch);
	else
		go_on(watch);
}

static const struct channel_callbacks agent_callbacks = { agent_opened, agent_received, agent_gone };

static int open_agent(struct net_watch *watch, struct err *err)
{
	agent_Hello hello = { .version = PROTO_VERSION };

	if (watch->agent)
		return 0;
	int fd = vm_socket_connect_beneath(watch->settings.state_fd, VM_SOCKET_VSOCK, SOCK_STREAM, err);
	if (fd < 0)
		return -1;
	watch->agent = channel_open(watch->loop, fd, AGENT_PORT_CONTROL, &agent_callbacks, watch, err);
	watch->id = HELLO_ID;
	return watch->agent ? channel_send(watch->agent, PROTO_HELLO, HELLO_ID, agent_Hello_fields, &hello, err) : -1;
}

/* Without an answer the watch stays in its step, and with that still. */
static void ask_agent(struct net_watch *watch, uint16_t type, const pb_msgdesc_t *fields, const void *message)
{
	struct err err = ERR_INIT;

	if (open_agent(watch, &err) < 0 || channel_send(watch->agent, type, ++watch->id, fields, message, &err) < 0)
		agent_gone(watch, err.text);
}

static void configure(struct net_watch *watch, const agent_NetAddRequest *request)
{
	watch->step = CONFIGURING;
	ask_agent(watch, PROTO_NET_ADD, agent_NetAddRequest_fields, request);
}

/* --- steps --------------------------------------------------------------------------------------------------- */

static struct known *find_known(struct net_watch *watch, int index)
{
	for (unsigned i = 0; i < NET_LINKS_MAX; i++)
		if (watch->known[i].is_used && watch->known[i].link.index == index)
			return &watch->known[i];
	return NULL;
}

static bool has_link(const struct net_links *links, int index)
{
	for (size_t i = 0; i < links->count; i++)
		if (links->items[i].index == index)
			return true;
	return false;
}

static void take_link(struct known *known, struct net_link *link)
{
	pb_release(agent_NetAddRequest_fields, &known->link.request);
	known->link = *link;
	link->request = (agent_NetAddRequest)agent_NetAddRequest_init_zero;
}

/* True: a step has begun. An interface that cannot be added is known, and left alone until it goes. */
static bool begin_adding(struct net_watch *watch, struct known *known)
{
	struct err err = ERR_INIT;
	const agent_NetAddRequest *of = &known->link.request;
	auto_fd int tap = net_tap_create(watch->netlink_fd, watch->dev_fd, &known->link, &err);

	if (tap < 0) {
		log_warn("network interface %s: %s", name_of(known), err.text);
		return false;
	}
	auto_fd int vhost = network_open_vhost(watch->dev_fd, watch->settings.use_vhost);
	const struct vmm_control_request request = control_net_request(of->name, known->link.index, of->mac->bytes);
	watch->step = ADDING;
	watch->current = known;
	if (!ask_monitor(watch, &request, (const int[]){ tap, vhost }, &err)) {
		watch->step = IDLE;
		watch->current = NULL;
		log_warn("network interface %s: %s", name_of(known), err.text);
		net_tap_unwire(watch->netlink_fd, known->link.index);
		return false;
	}
	return true;
}

static bool begin_with_new(struct net_watch *watch, struct net_link *link, bool has_tap)
{
	struct err err = ERR_INIT;

	for (unsigned i = 0; i < NET_LINKS_MAX; i++) {
		struct known *known = &watch->known[i];

		if (known->is_used)
			continue;
		known->is_used = true;
		take_link(known, link);
		if (!has_tap)
			return begin_adding(watch, known);
		watch->step = FINDING;
		watch->current = known;
		if (ask_monitor_about(watch, VMM_CONTROL_FIND_NET, known->link.index, &err))
			return true;
		watch->step = IDLE;
		watch->current = NULL;
		return false;
	}
	return false;
}

static bool begin_with_changed(struct net_watch *watch, struct known *known, struct net_link *link)
{
	agent_NetAddRequest update;
	struct err err = ERR_INIT;

	/* Once for each change, so that nothing the kernel may count by itself can keep us busy. */
	if (known->round == watch->round)
		return false;
	int difference = net_diff(&known->link.request, &link->request, &update, &err);

	if (difference > 0) {
		watch->current = known;
		known->round = watch->round;
		configure(watch, &update);
		net_diff_release(&update);
		take_link(known, link);
	} else {
		net_diff_release(&update);
	}
	return difference > 0;
}

static bool begin_with_gone(struct net_watch *watch, struct known *known)
{
	agent_NetRemoveRequest request = { .address = known->address };

	if (!known->is_ours) {
		forget(known);
		return false;
	}
	watch->step = UNPLUGGING;
	watch->current = known;
	ask_agent(watch, PROTO_NET_REMOVE, agent_NetRemoveRequest_fields, &request);
	return true;
}

static bool begin_with_links(struct net_watch *watch, struct net_links *links)
{
	for (unsigned i = 0; i < NET_LINKS_MAX; i++)
		if (watch->known[i].is_used && !has_link(links, watch->known[i].link.index) &&
		    begin_with_gone(watch, &watch->known[i]))
			return true;
	for (size_t i = 0; i < links->count; i++) {
		struct net_link *link = &links->items[i];
		struct known *known = find_known(watch, link->index);

		/* Its routes went when it went down, and come back when it is up. */
		if (link->is_down)
			continue;
		if (!known ? begin_with_new(watch, link, net_links_has_tap(links, link->index))
			   : known->is_ours && begin_with_changed(watch, known, link))
			return true;
	}
	return false;
}

static void begin_with_nameservers(struct net_watch *watch)
{
	struct nameservers found;

	nameservers_find(watch->settings.resolv_fd, watch->sockets_fd, &found);
	if (nameservers_are_same(&found, &watch->nameservers))
		return;
	watch->nameservers = found;
	agent_ResolverRequest request = { .addresses = found.addresses, .addresses_count = (pb_size_t)found.count };
	watch->step = NAMING;
	ask_agent(watch, PROTO_RESOLVER, agent_ResolverRequest_fields, &request);
}

/* Reads the namespace and takes the first step that it needs. */
static void look(struct net_watch *watch)
{
	struct net_links links = { 0 };
	struct err err = ERR_INIT;

	if (watch->step != IDLE || watch->has_lost_agent)
		return; /* the end of the step looks again */
	if (net_links_read(&links, watch->netlink_fd, &err) < 0)
		log_debug("network: %s", err.text);
	else if (!begin_with_links(watch, &links))
		begin_with_nameservers(watch);
	net_links_destroy(&links);
}

/* --- what happens -------------------------------------------------------------------------------------------- */

static void look_soon(struct net_watch *watch)
{
	const struct itimerspec soon = { .it_value.tv_nsec = SETTLE_MS * 1000000 };

	timerfd_settime(watch->timer_fd, 0, &soon, NULL);
}

static void namespace_changed(void *arg, uint32_t events)
{
	struct net_watch *watch = arg;
	char ignored[4096];

	(void)events;
	/* What it was does not matter; too much of it (ENOBUFS) is a change as well. A flood is read in turns. */
	for (int i = 0; i < 64; i++)
		if (recv(watch->events_fd, ignored, sizeof ignored, MSG_DONTWAIT | MSG_TRUNC) < 0 && errno != ENOBUFS)
			break;
	look_soon(watch);
}

static void settled(void *arg, uint32_t events)
{
	struct net_watch *watch = arg;
	uint64_t count;

	(void)events;
	if (read(watch->timer_fd, &count, sizeof count) != (ssize_t)sizeof count)
		return;
	watch->round++;
	look(watch);
}

static int open_events(void)
{
	static const int groups[] = { RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
				      RTNLGRP_IPV6_ROUTE };
	auto_fd int fd = netlink_open();

	for (unsigned i = 0; fd >= 0 && i < sizeof groups / sizeof *groups; i++)
		(void)setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof groups[i]);
	return take_fd(&fd);
}

/* `start` has brought in what was there. */
static void started(void *arg, uint32_t events)
{
	struct net_watch *watch = arg;
	char ignored;

	(void)events;
	while (recv(watch->start_fd, &ignored, sizeof ignored, MSG_DONTWAIT) >= 0)
		;
	if (watch->events_watch)
		return;
	watch->netlink_fd = netlink_open();
	watch->events_fd = open_events();
	if (watch->events_fd >= 0)
		watch->events_watch = loop_add_fd(watch->loop, watch->events_fd, EPOLLIN, namespace_changed, watch);
	if (watch->netlink_fd >= 0 && watch->events_watch)
		look(watch);
	else
		log_warn("changes of the network will not be seen: netlink: %m");
}

/* --- life ---------------------------------------------------------------------------------------------------- */

static int open_all(struct net_watch *watch, struct err *err)
{
	watch->dev_fd = proxy_devices_open(err);
	if (watch->dev_fd < 0)
		return -1;
	watch->sockets_fd = nameservers_open_sockets();
	watch->start_fd = vm_socket_bind(watch->settings.state_fd, VM_SOCKET_PROXY, err);
	if (watch->start_fd < 0)
		return -1;
	watch->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (watch->timer_fd < 0)
		return err_set_errno(err, "cannot watch the network");
	watch->start_watch = loop_add_fd(watch->loop, watch->start_fd, EPOLLIN, started, watch);
	watch->timer_watch = loop_add_fd(watch->loop, watch->timer_fd, EPOLLIN, settled, watch);
	if (!watch->start_watch || !watch->timer_watch)
		return err_set_errno(err, "cannot watch the network");
	return 0;
}

struct net_watch *net_watch_create(struct loop *loop, const struct net_watch_settings *settings, struct err *err)
{
	struct net_watch *watch = calloc(1, sizeof *watch);

	if (!watch) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	watch->loop = loop;
	watch->settings = *settings;
	watch->dev_fd = watch->sockets_fd = watch->start_fd = watch->netlink_fd = -1;
	watch->events_fd = watch->timer_fd = watch->control_fd = -1;
	if (open_all(watch, err) == 0)
		return watch;
	net_watch_destroy(watch);
	return NULL;
}

void net_watch_destroy(struct net_watch *watch)
{
	if (!watch)
		return;
	resolver_relay_destroy(watch->relay);
	channel_destroy(watch->agent);
	loop_remove(watch->loop, watch->start_watch);
	loop_remove(watch->loop, watch->events_watch);
	loop_remove(watch->loop, watch->timer_watch);
	loop_remove(watch->loop, watch->control_watch);
	close_fd(&watch->start_fd);
	close_fd(&watch->events_fd);
	close_fd(&watch->timer_fd);
	close_fd(&watch->control_fd);
	close_fd(&watch->netlink_fd);
	close_fd(&watch->sockets_fd);
	close_fd(&watch->dev_fd);
	for (unsigned i = 0; i < NET_LINKS_MAX; i++)
		if (watch->known[i].is_used)
			forget(&watch->known[i]);
	free(watch);
}
