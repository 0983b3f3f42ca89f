/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/requests.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/proto.h"
#include "guest-agent/agent.h"
#include "guest-agent/conn.h"
#include "guest-agent/container.h"
#include "guest-agent/hotplug.h"
#include "guest-agent/forward.h"
#include "guest-agent/inspect.h"
#include "guest-agent/net.h"
#include "guest-agent/power.h"
#include "guest-agent/process.h"
#include "guest-agent/reply.h"
#include "guest-agent/requests_check.h"
#include "guest-agent/resolver.h"
#include "guest-agent/stdio.h"
#include "guest-agent/suspend.h"

#include <errno.h>

/*
 * A handler gets the decoded message and the reply to answer. One that keeps the message sets *message to NULL.
 */
typedef void handler(struct agent *agent, void **message, struct reply *reply);

static void handle_hello(struct agent *agent, void **message, struct reply *reply)
{
	const agent_Hello *hello = *message;
	const agent_Hello mine = { .version = PROTO_VERSION };
	struct conn *conn = reply->conn;
	struct err err = ERR_INIT;

	(void)agent;
	if (hello->version != PROTO_VERSION) {
		err_set(&err, EPROTONOSUPPORT, "the agent speaks protocol version %u, the host version %u",
			PROTO_VERSION, hello->version);
		reply_error(reply, &err);
		conn_close_after_reply(conn);
		return;
	}
	conn_set_greeted(conn);
	reply_message(reply, agent_Hello_fields, &mine);
	if (conn_kind(conn) == CONN_RESOLVER)
		resolver_connected(agent, conn);
}

static void handle_create(struct agent *agent, void **message, struct reply *reply)
{
	container_create(agent, take_ptr(message), reply);
}

static void handle_exec(struct agent *agent, void **message, struct reply *reply)
{
	container_exec(agent, take_ptr(message), reply);
}

static void handle_start(struct agent *agent, void **message, struct reply *reply)
{
	const agent_ContainerRequest *request = *message;

	container_start(agent, request->container, request->realtime_ns, reply);
}

static void handle_wait(struct agent *agent, void **message, struct reply *reply)
{
	const agent_ProcessRequest *request = *message;
	struct process *process = container_find_process(agent, request->container, request->exec, reply);

	if (process)
		process_wait(process, reply);
}

static void handle_kill(struct agent *agent, void **message, struct reply *reply)
{
	container_kill(agent, *message, reply);
}

static void handle_resize(struct agent *agent, void **message, struct reply *reply)
{
	const agent_ResizeRequest *request = *message;
	struct process *process = container_find_process(agent, request->container, request->exec, reply);
	struct err err = ERR_INIT;

	if (!process)
		return;
	if (stdio_resize(process->io, request->rows, request->columns, &err) < 0)
		reply_error(reply, &err);
	else
		reply_ok(reply);
}

static void handle_ps(struct agent *agent, void **message, struct reply *reply)
{
	const agent_ContainerRequest *request = *message;
	const struct container *container = container_find(agent, request->container, reply);

	if (container)
		inspect_processes(container, reply);
}

static void handle_stats(struct agent *agent, void **message, struct reply *reply)
{
	const agent_ContainerRequest *request = *message;
	const struct container *container = container_find(agent, request->container, reply);

	if (container)
		inspect_stats(container, reply);
}

static void handle_update(struct agent *agent, void **message, struct reply *reply)
{
	container_update(agent, *message, reply);
}

static void handle_freeze(struct agent *agent, void **message, struct reply *reply)
{
	const agent_FreezeRequest *request = *message;

	container_freeze(agent, request->container, request->frozen, reply);
}

static void handle_delete(struct agent *agent, void **message, struct reply *reply)
{
	const agent_ContainerRequest *request = *message;

	container_delete(agent, request->container, reply);
}

static void handle_oom_wait(struct agent *agent, void **message, struct reply *reply)
{
	const agent_ContainerRequest *request = *message;

	container_wait_oom(agent, request->container, reply);
}

static void handle_net_add(struct agent *agent, void **message, struct reply *reply)
{
	struct err err = ERR_INIT;

	if (net_add(agent, *message, &err) < 0)
		reply_error(reply, &err);
	else
		reply_ok(reply);
}

static void handle_net_remove(struct agent *agent, void **message, struct reply *reply)
{
	struct err err = ERR_INIT;

	if (net_remove(agent, *message, &err) < 0)
		reply_error(reply, &err);
	else
		reply_ok(reply);
}

static void handle_device_add(struct agent *agent, void **message, struct reply *reply)
{
	struct err err = ERR_INIT;

	if (hotplug_add(agent, *message, &err) < 0)
		reply_error(reply, &err);
	else
		reply_ok(reply);
}

static void handle_device_remove(struct agent *agent, void **message, struct reply *reply)
{
	struct err err = ERR_INIT;

	if (hotplug_remove(agent, *message, &err) < 0)
		reply_error(reply, &err);
	else
		reply_ok(reply);
}

static void handle_resolver(struct agent *agent, void **message, struct reply *reply)
{
	const agent_ResolverRequest *request = *message;
	struct err err = ERR_INIT;

	if (resolver_set(agent, request->addresses, request->addresses_count, &err) < 0)
		reply_error(reply, &err);
	else
		reply_ok(reply);
}

static void handle_suspend(struct agent *agent, void **message, struct reply *reply)
{
	const agent_ContainerRequest *request = *message;

	suspend_container(agent, request->container, reply);
}

static void handle_release(struct agent *agent, void **message, struct reply *reply)
{
	const agent_ContainerRequest *request = *message;

	suspend_release(agent, request->container, reply);
}

static void handle_adopt(struct agent *agent, void **message, struct reply *reply)
{
	suspend_adopt(agent, *message, reply);
}

static void handle_shutdown(struct agent *agent, void **message, struct reply *reply)
{
	(void)message;
	reply_ok(reply);
	power_off(agent);
}

static void handle_attach(struct agent *agent, void **message, struct reply *reply)
{
	const agent_AttachRequest *request = *message;
	struct conn *conn = reply->conn;
	struct process *process = container_find_process(agent, request->container, request->exec, reply);
	struct err err = ERR_INIT;

	if (!process)
		return;
	if (stdio_check_attach(process->io, request->stream, &err) < 0) {
		reply_error(reply, &err);
		return;
	}
	/* The reply is on its way before the first byte of the stream. */
	reply_ok(reply);
	int fd = conn_take_fd(conn);
	if (fd >= 0)
		stdio_attach(process->io, request->stream, fd);
}

static void handle_forward(struct agent *agent, void **message, struct reply *reply)
{
	const agent_ForwardRequest *request = *message;
	struct conn *conn = reply->conn;

	reply_ok(reply);
	int fd = conn_take_fd(conn);
	if (fd >= 0)
		forward_start(agent, fd, (uint16_t)request->port);
}

static const struct {
	handler *handle;
	enum conn_kind kind; /* on which connections it may come */
} handlers[PROTO_TYPE_COUNT] = {
	[PROTO_HELLO] = { handle_hello, CONN_CONTROL },
	[PROTO_CREATE] = { handle_create, CONN_CONTROL },
	[PROTO_START] = { handle_start, CONN_CONTROL },
	[PROTO_EXEC] = { handle_exec, CONN_CONTROL },
	[PROTO_WAIT] = { handle_wait, CONN_CONTROL },
	[PROTO_KILL] = { handle_kill, CONN_CONTROL },
	[PROTO_RESIZE] = { handle_resize, CONN_CONTROL },
	[PROTO_PS] = { handle_ps, CONN_CONTROL },
	[PROTO_UPDATE] = { handle_update, CONN_CONTROL },
	[PROTO_STATS] = { handle_stats, CONN_CONTROL },
	[PROTO_DELETE] = { handle_delete, CONN_CONTROL },
	[PROTO_SHUTDOWN] = { handle_shutdown, CONN_CONTROL },
	[PROTO_FREEZE] = { handle_freeze, CONN_CONTROL },
	[PROTO_OOM_WAIT] = { handle_oom_wait, CONN_CONTROL },
	[PROTO_NET_ADD] = { handle_net_add, CONN_CONTROL },
	[PROTO_NET_REMOVE] = { handle_net_remove, CONN_CONTROL },
	[PROTO_FORWARD] = { handle_forward, CONN_STREAM },
	[PROTO_ATTACH] = { handle_attach, CONN_STREAM },
	[PROTO_RESOLVER] = { handle_resolver, CONN_CONTROL },
	[PROTO_DEVICE_ADD] = { handle_device_add, CONN_CONTROL },
	[PROTO_DEVICE_REMOVE] = { handle_device_remove, CONN_CONTROL },
	[PROTO_SUSPEND] = { handle_suspend, CONN_CONTROL },
	[PROTO_RELEASE] = { handle_release, CONN_CONTROL },
	[PROTO_ADOPT] = { handle_adopt, CONN_CONTROL },
};

/* 0 if a request of this type may come on this connection now. */
static int check_order(const struct conn *conn, uint16_t type, struct err *err)
{
	if (type >= PROTO_TYPE_COUNT || !handlers[type].handle)
		return err_set(err, ENOSYS, "the agent does not know request %u", type);
	if (handlers[type].kind != conn_kind(conn) && !(type == PROTO_HELLO && conn_kind(conn) == CONN_RESOLVER))
		return err_set(err, EPROTO, "a %s request does not belong on this port", proto_type_name(type));
	if (conn_kind(conn) == CONN_CONTROL && type != PROTO_HELLO && !conn_is_greeted(conn))
		return err_set(err, EPROTO, "a %s request came before hello", proto_type_name(type));
	return 0;
}

void requests_handle(struct agent *agent, struct conn *conn, const struct proto_header *frame, const uint8_t *payload)
{
	const pb_msgdesc_t *fields;
	struct err err = ERR_INIT;

	/* No request, and so no reply to it. */
	if (frame->type == PROTO_LOOKUP_REPLY && conn_kind(conn) == CONN_RESOLVER) {
		resolver_answered(agent, frame->id, payload, frame->length);
		return;
	}
	struct reply *reply = reply_create(conn, frame->type, frame->id);

	if (!reply) {
		log_warn("no memory for a %s request", proto_type_name(frame->type));
		conn_close_after_reply(conn);
		return;
	}
	void *message = NULL;
	if (check_order(conn, frame->type, &err) == 0)
		message = requests_decode(frame->type, payload, frame->length, &fields, &err);
	if (!message) {
		reply_error(reply, &err);
		return;
	}
	log_debug("%s", proto_type_name(frame->type));
	handlers[frame->type].handle(agent, &message, reply);
	message_free(fields, message);
}
