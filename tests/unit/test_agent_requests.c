/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: what the agent accepts in form, field by field. */
#include "guest-agent/message.c"
#include "guest-agent/requests_check.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

static agent_CreateRequest *request;

/* The smallest container there is; tests spoil one thing of it. */
static int setup(void **state)
{
	(void)state;
	request = calloc(1, sizeof *request);
	request->has_container = request->has_process = true;
	request->id = strdup("box");
	request->container.root_share = strdup("rootfs");
	request->process.args_count = 1;
	request->process.args = calloc(1, sizeof(char *));
	request->process.args[0] = strdup("true");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	message_free(agent_CreateRequest_fields, request);
	return 0;
}

static void *trip(uint16_t type, const pb_msgdesc_t *fields, const void *message, struct err *err)
{
	const pb_msgdesc_t *decoded_fields;
	size_t length;
	uint8_t *data = message_encode(fields, message, 0, &length);

	assert_non_null(data);
	void *decoded = requests_decode(type, data, length, &decoded_fields, err);
	free(data);
	if (decoded)
		assert_ptr_equal(decoded_fields, fields);
	return decoded;
}

static void expect_create_refused(const char *words)
{
	struct err err = ERR_INIT;

	assert_null(trip(PROTO_CREATE, agent_CreateRequest_fields, request, &err));
	assert_int_equal(err.code, EINVAL);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static void expect_create_accepted(void)
{
	struct err err = ERR_INIT;
	void *decoded = trip(PROTO_CREATE, agent_CreateRequest_fields, request, &err);

	if (!decoded)
		fail_msg("%s", err.text);
	message_free(agent_CreateRequest_fields, decoded);
}

static void replace(char **text, const char *with)
{
	free(*text);
	*text = with ? strdup(with) : NULL;
}

static pb_bytes_array_t *bytes(pb_size_t size)
{
	pb_bytes_array_t *array = calloc(1, PB_BYTES_ARRAY_T_ALLOCSIZE(size));

	array->size = size;
	return array;
}

static void test_create_smallest_is_accepted(void **state)
{
	(void)state;
	expect_create_accepted();
}

static void test_create_id_must_be_a_name(void **state)
{
	char longer[ID_MAX + 2];

	(void)state;
	memset(longer, 'a', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	static const char *const bad[] = { NULL, "", "a/b", "../x" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		replace(&request->id, bad[i]);
		expect_create_refused("container id");
	}
	replace(&request->id, longer);
	expect_create_refused("container id");
	longer[ID_MAX] = '\0';
	replace(&request->id, longer);
	expect_create_accepted();
}

static void test_create_share_names_are_plain(void **state)
{
	static const char *const bad[] = { NULL, "", ".", "..", "a/b", "a,b", "a:b", "a b", "\\", "\x80" };

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		replace(&request->container.root_share, bad[i]);
		expect_create_refused("root filesystem");
	}
	replace(&request->container.root_share, "Abc-1_2.x");
	expect_create_accepted();
}

static void test_create_process_needs_arguments(void **state)
{
	(void)state;
	replace(&request->process.cwd, "relative");
	expect_create_refused("working directory");
	replace(&request->process.cwd, "/abs");
	expect_create_accepted();
	free(request->process.args[0]);
	request->process.args_count = 0;
	free(request->process.args);
	request->process.args = NULL;
	expect_create_refused("no arguments");
	request->has_process = false;
	expect_create_refused("missing");
}

static void test_create_more_streams_have_a_way(void **state)
{
	agent_Process *process = &request->process;

	(void)state;
	process->more_streams = calloc(PROTO_MORE_STREAMS_MAX + 1, sizeof *process->more_streams);
	process->more_streams_count = PROTO_MORE_STREAMS_MAX;
	for (int i = 0; i <= PROTO_MORE_STREAMS_MAX; i++)
		process->more_streams[i] = 1 + (uint32_t)i % 3;
	expect_create_accepted();
	process->more_streams_count++;
	expect_create_refused("more than 32 streams");
	process->more_streams_count = 2;
	process->more_streams[1] = 0;
	expect_create_refused("stream 4: 0 is not a way");
	process->more_streams[1] = 4;
	expect_create_refused("stream 4: 4 is not a way");
}

static void test_create_programs_are_whole(void **state)
{
	(void)state;
	request->process.seccomp = bytes(17);
	expect_create_refused("seccomp filter");
	request->process.seccomp->size = 16;
	expect_create_accepted();
	request->container.device_filter = bytes(4);
	expect_create_refused("device filter");
	request->container.device_filter->size = 0;
	expect_create_accepted();
}

static void test_create_mounts_are_checked(void **state)
{
	agent_Mount *mount = calloc(1, sizeof *mount);

	(void)state;
	request->container.mounts = mount;
	request->container.mounts_count = 1;
	expect_create_refused("destination");
	replace(&mount->destination, "proc");
	expect_create_refused("destination");
	replace(&mount->destination, "/proc");
	expect_create_refused("type or source");
	replace(&mount->type, "proc");
	replace(&mount->source, "proc");
	expect_create_accepted();
	mount->share = true;
	replace(&mount->source, "../etc");
	expect_create_refused("name of a share");
}

static void test_create_lists_are_checked(void **state)
{
	agent_Namespace *namespaces = calloc(2, sizeof *namespaces);
	agent_Device *device = calloc(1, sizeof *device);
	agent_FileValue *file = calloc(1, sizeof *file);
	char **masked = calloc(1, sizeof *masked);
	agent_Hook *hook = calloc(1, sizeof *hook);

	(void)state;
	request->container.namespaces = namespaces;
	request->container.namespaces_count = 2;
	namespaces[0].clone_flag = CLONE_NEWPID | CLONE_NEWNS;
	expect_create_refused("namespace 0");
	namespaces[0].clone_flag = namespaces[1].clone_flag = CLONE_NEWPID;
	expect_create_refused("namespace 1");
	namespaces[1].clone_flag = CLONE_VM;
	expect_create_refused("namespace 1");
	namespaces[1].clone_flag = CLONE_NEWTIME;
	expect_create_accepted();

	request->container.devices = device;
	request->container.devices_count = 1;
	expect_create_refused("device 0");
	replace(&device->path, "/dev/x");
	device->mode = S_IFREG | 0644;
	expect_create_refused("is no device's");
	device->mode = S_IFCHR | 0644;
	expect_create_accepted();

	request->container.cgroup_files = file;
	request->container.cgroup_files_count = 1;
	replace(&file->name, "../memory.max");
	expect_create_refused("cgroup file 0");
	replace(&file->name, "memory.max");
	expect_create_accepted();

	request->container.masked_paths = masked;
	request->container.masked_paths_count = 1;
	replace(&masked[0], "proc/kcore");
	expect_create_refused("masked path 0");
	replace(&masked[0], "/proc/kcore");
	expect_create_accepted();

	request->container.start_container_hooks = hook;
	request->container.start_container_hooks_count = 1;
	replace(&hook->path, "hook");
	expect_create_refused("hook 0");
	replace(&hook->path, "/hook");
	expect_create_accepted();
}

static void test_requests_out_of_range_are_refused(void **state)
{
	struct err err = ERR_INIT;
	const agent_KillRequest kill = { .container = (char *)"box", .signal = 65 };
	const agent_ResizeRequest resize = { .container = (char *)"box", .rows = 65536 };
	agent_ExecRequest exec = { .container = (char *)"box", .has_process = true };

	(void)state;
	assert_null(trip(PROTO_KILL, agent_KillRequest_fields, &kill, &err));
	assert_string_equal(err.text, "there is no signal 65");
	assert_null(trip(PROTO_RESIZE, agent_ResizeRequest_fields, &resize, &err));
	assert_null(trip(PROTO_EXEC, agent_ExecRequest_fields, &exec, &err));
	assert_string_equal(err.text, "exec: its id is missing");
}

static void test_requests_absent_strings_become_empty(void **state)
{
	struct err err = ERR_INIT;
	const agent_ProcessRequest wait = { .container = (char *)"box" };
	agent_ProcessRequest *decoded = trip(PROTO_WAIT, agent_ProcessRequest_fields, &wait, &err);

	(void)state;
	assert_non_null(decoded);
	assert_string_equal(decoded->exec, "");
	message_free(agent_ProcessRequest_fields, decoded);
}

static void test_requests_unknown_and_garbage_are_told_apart(void **state)
{
	static const uint8_t garbage[] = { 0xff, 0xff, 0xff };
	const pb_msgdesc_t *fields;
	struct err err = ERR_INIT;

	(void)state;
	static const uint16_t unknown[] = { 0, PROTO_ERROR, PROTO_CREATE_REPLY, PROTO_TYPE_COUNT, 65535 };
	for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
		assert_null(requests_decode(unknown[i], garbage, 0, &fields, &err));
		assert_int_equal(err.code, ENOSYS);
	}
	for (uint16_t type = PROTO_HELLO; type < PROTO_TYPE_COUNT; type = (uint16_t)(type + 2)) {
		if (type == PROTO_LOOKUP) /* the agent's own */
			continue;
		assert_null(requests_decode(type, garbage, sizeof garbage, &fields, &err));
		assert_int_equal(err.code, EBADMSG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_create_smallest_is_accepted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_create_id_must_be_a_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_create_share_names_are_plain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_create_process_needs_arguments, setup, teardown),
		cmocka_unit_test_setup_teardown(test_create_more_streams_have_a_way, setup, teardown),
		cmocka_unit_test_setup_teardown(test_create_programs_are_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_create_mounts_are_checked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_create_lists_are_checked, setup, teardown),
		cmocka_unit_test(test_requests_out_of_range_are_refused),
		cmocka_unit_test(test_requests_absent_strings_become_empty),
		cmocka_unit_test(test_requests_unknown_and_garbage_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
