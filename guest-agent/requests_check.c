/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/requests_check.h"

#include "common/err.h"
#include "common/proto.h"
#include "guest-agent/kernel.h"
#include "guest-agent/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

enum { ID_MAX = 200, EXEC_ID_MAX = 256, SIGNAL_MAX = 64, RLIMITS_COUNT = 16, SHARE_NAME_MAX = 255 };

#define NAMESPACE_FLAGS                                                                                          \
	((uint32_t)(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
		    CLONE_NEWNET | CLONE_NEWTIME))

/* Makes a string that was left out an empty one. False when out of memory. */
static bool present(char **text)
{
	if (!*text)
		*text = strdup("");
	return *text != NULL;
}

static int check_id(char **id, const char *what, struct err *err)
{
	if (!present(id))
		return err_set(err, ENOMEM, "out of memory");
	if (!(*id)[0] || strlen(*id) > ID_MAX || strchr(*id, '/'))
		return err_set(err, EINVAL, "%s: not a name of 1 to %d bytes without slashes", what, ID_MAX);
	return 0;
}

static int check_process_name(char **container, char **exec, struct err *err)
{
	if (!present(exec))
		return err_set(err, ENOMEM, "out of memory");
	if (strlen(*exec) > EXEC_ID_MAX)
		return err_set(err, EINVAL, "exec id: longer than %d bytes", EXEC_ID_MAX);
	return check_id(container, "container id", err);
}

/* One component of a path, which is not "." or "..". */
static bool is_component(const char *name)
{
	return name && name[0] && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* A share's name also becomes part of a mount option, so it is plainer than a file's name. */
static bool is_share_name(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

	return is_component(name) && strlen(name) <= SHARE_NAME_MAX && strspn(name, allowed) == strlen(name);
}

static bool is_absolute(const char *path)
{
	return path && path[0] == '/' && strlen(path) < PATH_MAX;
}

static int check_strings(char **items, size_t count, const char *what, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		if (!present(&items[i]))
			return err_set(err, ENOMEM, "%s: out of memory", what);
	}
	return 0;
}

static int check_files(const agent_FileValue *files, size_t count, const char *what, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		if (!is_component(files[i].name))
			return err_set(err, EINVAL, "%s %zu: not a file's name", what, i);
	}
	return 0;
}

static int check_instructions(const pb_bytes_array_t *code, size_t size, size_t max, const char *what, struct err *err)
{
	if (code && (code->size % size || code->size / size > max))
		return err_set(err, EINVAL, "%s: %u bytes are not a program", what, code->size);
	return 0;
}

static int check_process(agent_Process *process, struct err *err)
{
	if (process->args_count == 0)
		return err_set(err, EINVAL, "process: no arguments");
	if (check_strings(process->args, process->args_count, "arguments", err) < 0 ||
	    check_strings(process->env, process->env_count, "environment", err) < 0)
		return -1;
	if (process->cwd && process->cwd[0] && !is_absolute(process->cwd))
		return err_set(err, EINVAL, "process: the working directory is not an absolute path");
	for (size_t i = 0; i < process->rlimits_count; i++) {
		if (process->rlimits[i].resource >= RLIMITS_COUNT)
			return err_set(err, EINVAL, "process: there is no resource limit %u",
				       process->rlimits[i].resource);
	}
	if (process->more_streams_count > PROTO_MORE_STREAMS_MAX)
		return err_set(err, EINVAL, "process: more than %d streams besides the standard ones",
			       PROTO_MORE_STREAMS_MAX);
	for (size_t i = 0; i < process->more_streams_count; i++) {
		uint32_t way = process->more_streams[i];

		if (!way || way & ~(uint32_t)(PROTO_STREAM_READ | PROTO_STREAM_WRITE))
			return err_set(err, EINVAL, "process: stream %zu: %u is not a way", i + 3, way);
	}
	return check_instructions(process->seccomp, sizeof(struct sock_filter), BPF_MAXINSNS, "seccomp filter", err);
}

static int check_mount(const agent_Mount *mount, size_t index, struct err *err)
{
	if (!is_absolute(mount->destination))
		return err_set(err, EINVAL, "mount %zu: the destination is not an absolute path", index);
	if (mount->share && !is_share_name(mount->source))
		return err_set(err, EINVAL, "mount %zu: the source is not the name of a share", index);
	if (mount->common && (mount->share || !(mount->flags & MS_BIND) || !is_share_name(mount->source)))
		return err_set(err, EINVAL, "mount %zu: the source is not the name of something in common", index);
	if (!mount->type || !mount->source)
		return err_set(err, EINVAL, "mount %zu at %.200s: type or source missing", index, mount->destination);
	return 0;
}

static int check_namespaces(const agent_Container *container, struct err *err)
{
	uint32_t seen = 0;

	for (size_t i = 0; i < container->namespaces_count; i++) {
		uint32_t flag = container->namespaces[i].clone_flag;

		if (!flag || flag & (flag - 1) || !(flag & NAMESPACE_FLAGS) || seen & flag)
			return err_set(err, EINVAL, "namespace %zu: %#x is none, or there twice", i, flag);
		seen |= flag;
	}
	return 0;
}

static int check_hooks(agent_Container *container, struct err *err)
{
	for (size_t i = 0; i < container->start_container_hooks_count; i++) {
		agent_Hook *hook = &container->start_container_hooks[i];

		if (!is_absolute(hook->path))
			return err_set(err, EINVAL, "startContainer hook %zu: not an absolute path", i);
		if (check_strings(hook->args, hook->args_count, "hook arguments", err) < 0 ||
		    check_strings(hook->env, hook->env_count, "hook environment", err) < 0)
			return -1;
	}
	return 0;
}

static int check_paths(char **paths, size_t count, const char *what, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		if (!is_absolute(paths[i]))
			return err_set(err, EINVAL, "%s %zu: not an absolute path", what, i);
	}
	return 0;
}

static int check_devices(const agent_Container *container, struct err *err)
{
	for (size_t i = 0; i < container->devices_count; i++) {
		const agent_Device *device = &container->devices[i];
		mode_t type = (mode_t)device->mode & S_IFMT;

		if (!is_absolute(device->path))
			return err_set(err, EINVAL, "device %zu: not an absolute path", i);
		if (type != S_IFCHR && type != S_IFBLK && type != S_IFIFO)
			return err_set(err, EINVAL, "device %.200s: mode %#o is no device's", device->path,
				       device->mode);
	}
	return 0;
}

static int check_container(agent_Container *container, struct err *err)
{
	if (!is_share_name(container->root_share))
		return err_set(err, EINVAL, "root filesystem: not the name of a share");
	for (size_t i = 0; i < container->mounts_count; i++) {
		if (check_mount(&container->mounts[i], i, err) < 0)
			return -1;
	}
	if (check_namespaces(container, err) < 0 || check_devices(container, err) < 0 ||
	    check_hooks(container, err) < 0)
		return -1;
	if (check_paths(container->masked_paths, container->masked_paths_count, "masked path", err) < 0 ||
	    check_paths(container->readonly_paths, container->readonly_paths_count, "read-only path", err) < 0)
		return -1;
	if (check_files(container->cgroup_files, container->cgroup_files_count, "cgroup file", err) < 0)
		return -1;
	return check_instructions(container->device_filter, sizeof(struct bpf_insn), BPF_MAXINSNS, "device filter",
				  err);
}

static int check_create(void *message, struct err *err)
{
	agent_CreateRequest *request = message;

	if (!request->has_container || !request->has_process)
		return err_set(err, EINVAL, "create: container or process missing");
	if (check_id(&request->id, "container id", err) < 0 || check_container(&request->container, err) < 0)
		return -1;
	return check_process(&request->process, err);
}

static int check_exec(void *message, struct err *err)
{
	agent_ExecRequest *request = message;

	if (!request->has_process)
		return err_set(err, EINVAL, "exec: process missing");
	if (check_process_name(&request->container, &request->exec, err) < 0)
		return -1;
	if (!request->exec[0])
		return err_set(err, EINVAL, "exec: its id is missing");
	return check_process(&request->process, err);
}

static int check_container_request(void *message, struct err *err)
{
	return check_id(&((agent_ContainerRequest *)message)->container, "container id", err);
}

static int check_process_request(void *message, struct err *err)
{
	agent_ProcessRequest *request = message;

	return check_process_name(&request->container, &request->exec, err);
}

static int check_kill(void *message, struct err *err)
{
	agent_KillRequest *request = message;

	if (request->signal > SIGNAL_MAX)
		return err_set(err, EINVAL, "there is no signal %u", request->signal);
	return check_process_name(&request->container, &request->exec, err);
}

static int check_resize(void *message, struct err *err)
{
	agent_ResizeRequest *request = message;

	if (request->rows > USHRT_MAX || request->columns > USHRT_MAX)
		return err_set(err, EINVAL, "a terminal of %u rows and %u columns", request->rows, request->columns);
	return check_process_name(&request->container, &request->exec, err);
}

static int check_attach(void *message, struct err *err)
{
	agent_AttachRequest *request = message;

	return check_process_name(&request->container, &request->exec, err);
}

static int check_freeze(void *message, struct err *err)
{
	return check_id(&((agent_FreezeRequest *)message)->container, "container id", err);
}

static int check_update(void *message, struct err *err)
{
	agent_UpdateRequest *request = message;

	if (check_files(request->files, request->files_count, "cgroup file", err) < 0)
		return -1;
	return check_id(&request->container, "container id", err);
}

/* The bytes are the kernel's to check, but for the fixed part, in which net.c has something to replace. */
static int check_net_message(const agent_NetMessage *message, struct err *err)
{
	enum { BODY_MAX = 2048 };
	uint32_t type = message->type;
	size_t least = type == RTM_NEWADDR || type == RTM_DELADDR     ? sizeof(struct ifaddrmsg)
		       : type == RTM_NEWROUTE || type == RTM_DELROUTE ? sizeof(struct rtmsg)
		       : type == RTM_NEWNEIGH || type == RTM_DELNEIGH ? sizeof(struct ndmsg)
								      : 0;

	if (!least)
		return err_set(err, EINVAL, "a message of type %u", message->type);
	if (!message->body || message->body->size < least || message->body->size > BODY_MAX)
		return err_set(err, EINVAL, "a message of %u bytes", message->body ? message->body->size : 0);
	return 0;
}

/* An interface's name becomes part of a path. */
static int check_net_add(void *message, struct err *err)
{
	enum { MAC_SIZE = 6, NAME_MAX_LENGTH = 15 };
	agent_NetAddRequest *request = message;

	if (!is_component(request->name) || strlen(request->name) > NAME_MAX_LENGTH)
		return err_set(err, EINVAL, "network interface: not a name");
	if (!request->mac || request->mac->size != MAC_SIZE)
		return err_set(err, EINVAL, "network interface %s: not a MAC", request->name);
	for (size_t i = 0; i < request->messages_count; i++) {
		if (check_net_message(&request->messages[i], err) < 0)
			return err_wrap(err, "network interface %s", request->name);
	}
	return 0;
}

/* Whatever else the host says, only loopback is listened on. */
static int check_resolver(void *message, struct err *err)
{
	const agent_ResolverRequest *request = message;

	if (request->addresses_count > RESOLVER_ADDRESSES_MAX)
		return err_set(err, E2BIG, "more than %d nameservers", RESOLVER_ADDRESSES_MAX);
	for (size_t i = 0; i < request->addresses_count; i++) {
		if (ntohl(request->addresses[i]) >> 24 != IN_LOOPBACKNET)
			return err_set(err, EINVAL, "a nameserver that is not on the loopback");
	}
	return 0;
}

static int check_forward(void *message, struct err *err)
{
	const agent_ForwardRequest *request = message;

	if (request->port == 0 || request->port > UINT16_MAX)
		return err_set(err, EINVAL, "%u is not a port", request->port);
	return 0;
}

static int check_adopt(void *message, struct err *err)
{
	agent_AdoptRequest *request = message;

	if (check_files(request->cgroup_files, request->cgroup_files_count, "cgroup file", err) < 0)
		return -1;
	return check_id(&request->id, "container id", err);
}

static int check_nothing(void *message, struct err *err)
{
	(void)message;
	(void)err;
	return 0;
}

static const struct {
	const pb_msgdesc_t *fields;
	size_t size;
	int (*check)(void *message, struct err *err);
} requests[PROTO_TYPE_COUNT] = {
	[PROTO_HELLO] = { agent_Hello_fields, sizeof(agent_Hello), check_nothing },
	[PROTO_CREATE] = { agent_CreateRequest_fields, sizeof(agent_CreateRequest), check_create },
	[PROTO_START] = { agent_ContainerRequest_fields, sizeof(agent_ContainerRequest), check_container_request },
	[PROTO_EXEC] = { agent_ExecRequest_fields, sizeof(agent_ExecRequest), check_exec },
	[PROTO_WAIT] = { agent_ProcessRequest_fields, sizeof(agent_ProcessRequest), check_process_request },
	[PROTO_KILL] = { agent_KillRequest_fields, sizeof(agent_KillRequest), check_kill },
	[PROTO_RESIZE] = { agent_ResizeRequest_fields, sizeof(agent_ResizeRequest), check_resize },
	[PROTO_PS] = { agent_ContainerRequest_fields, sizeof(agent_ContainerRequest), check_container_request },
	[PROTO_UPDATE] = { agent_UpdateRequest_fields, sizeof(agent_UpdateRequest), check_update },
	[PROTO_STATS] = { agent_ContainerRequest_fields, sizeof(agent_ContainerRequest), check_container_request },
	[PROTO_DELETE] = { agent_ContainerRequest_fields, sizeof(agent_ContainerRequest), check_container_request },
	[PROTO_SHUTDOWN] = { agent_Empty_fields, sizeof(agent_Empty), check_nothing },
	[PROTO_ATTACH] = { agent_AttachRequest_fields, sizeof(agent_AttachRequest), check_attach },
	[PROTO_FREEZE] = { agent_FreezeRequest_fields, sizeof(agent_FreezeRequest), check_freeze },
	[PROTO_NET_ADD] = { agent_NetAddRequest_fields, sizeof(agent_NetAddRequest), check_net_add },
	[PROTO_NET_REMOVE] = { agent_NetRemoveRequest_fields, sizeof(agent_NetRemoveRequest), check_nothing },
	[PROTO_RESOLVER] = { agent_ResolverRequest_fields, sizeof(agent_ResolverRequest), check_resolver },
	[PROTO_FORWARD] = { agent_ForwardRequest_fields, sizeof(agent_ForwardRequest), check_forward },
	[PROTO_DEVICE_ADD] = { agent_DeviceAddRequest_fields, sizeof(agent_DeviceAddRequest), check_nothing },
	[PROTO_DEVICE_REMOVE] = { agent_DeviceRemoveRequest_fields, sizeof(agent_DeviceRemoveRequest), check_nothing },
	[PROTO_SUSPEND] = { agent_ContainerRequest_fields, sizeof(agent_ContainerRequest), check_container_request },
	[PROTO_RELEASE] = { agent_ContainerRequest_fields, sizeof(agent_ContainerRequest), check_container_request },
	[PROTO_ADOPT] = { agent_AdoptRequest_fields, sizeof(agent_AdoptRequest), check_adopt },
	[PROTO_OOM_WAIT] = { agent_ContainerRequest_fields, sizeof(agent_ContainerRequest), check_container_request },
};

void *requests_decode(uint16_t type, const uint8_t *payload, size_t length, const pb_msgdesc_t **fields,
		      struct err *err)
{
	if (type >= PROTO_TYPE_COUNT || !requests[type].check) {
		err_set(err, ENOSYS, "the agent does not know request %u", type);
		return NULL;
	}
	*fields = requests[type].fields;
	void *message = message_decode(*fields, requests[type].size, payload, length);
	if (!message) {
		err_set(err, EBADMSG, "a %s request cannot be decoded", proto_type_name(type));
		return NULL;
	}
	if (requests[type].check(message, err) < 0) {
		message_free(*fields, message);
		return NULL;
	}
	return message;
}
