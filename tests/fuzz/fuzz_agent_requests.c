/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's door: decoding and the checks of form, for every type of request. Whatever passes must be usable without
 * another look: the properties that handlers rely on are asserted here.
 *
 * Input: frames, one after the other, as on the wire, so that the seeds of fuzz_agent_messages serve here, too. That
 * one is strict about headers; here any header is read as some request, so that the time goes into payloads.
 *
 * Covers: guest-agent/requests_check.c guest-agent/message.c
 */
#include "common/err.h"
#include "common/proto.h"

#include "guest-agent/message.c"
#include "guest-agent/requests_check.c"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_string(const char *text)
{
	assert(text && strlen(text) < PROTO_PAYLOAD_MAX);
}

static void use_process(const agent_Process *process)
{
	assert(process->args_count > 0);
	for (size_t i = 0; i < process->args_count; i++)
		use_string(process->args[i]);
	for (size_t i = 0; i < process->env_count; i++)
		use_string(process->env[i]);
	assert(!process->seccomp || process->seccomp->size % 8 == 0);
}

static void use_create(const agent_CreateRequest *request)
{
	const agent_Container *container = &request->container;

	assert(!strchr(request->id, '/') && request->id[0]);
	assert(!strpbrk(container->root_share, "/,:"));
	for (size_t i = 0; i < container->mounts_count; i++) {
		assert(container->mounts[i].destination[0] == '/');
		assert(!container->mounts[i].share || !strpbrk(container->mounts[i].source, "/,:"));
		use_string(container->mounts[i].type);
	}
	for (size_t i = 0; i < container->cgroup_files_count; i++)
		assert(!strchr(container->cgroup_files[i].name, '/'));
	for (size_t i = 0; i < container->masked_paths_count; i++)
		assert(container->masked_paths[i][0] == '/');
	for (size_t i = 0; i < container->start_container_hooks_count; i++)
		assert(container->start_container_hooks[i].path[0] == '/');
	use_process(&request->process);
}

static void handle(uint16_t type, const uint8_t *payload, size_t length)
{
	const pb_msgdesc_t *fields;
	struct err err = ERR_INIT;
	void *message = requests_decode(type, payload, length, &fields, &err);

	if (!message) {
		assert(err.code && err.text[0]);
		return;
	}
	if (type == PROTO_CREATE) {
		use_create(message);
	} else if (type == PROTO_EXEC) {
		use_string(((agent_ExecRequest *)message)->container);
		use_string(((agent_ExecRequest *)message)->exec);
		use_process(&((agent_ExecRequest *)message)->process);
	} else if (type == PROTO_KILL) {
		use_string(((agent_KillRequest *)message)->exec);
		assert(((agent_KillRequest *)message)->signal <= 64);
	}
	message_free(fields, message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	while (size >= PROTO_HEADER_SIZE) {
		struct proto_header header;

		proto_unpack_header(data, &header);
		if (header.type >= PROTO_TYPE_COUNT)
			header.type %= PROTO_TYPE_COUNT;
		data += PROTO_HEADER_SIZE;
		size -= PROTO_HEADER_SIZE;
		/* The rest of a frame that was cut short is as good a payload as any. */
		size_t length = header.length < size ? header.length : size;
		/* In memory of its own, so that reading beyond it is noticed. */
		uint8_t *payload = malloc(length + 1);
		memcpy(payload, data, length);
		handle(header.type, payload, length);
		free(payload);
		data += length;
		size -= length;
	}
	return 0;
}
