/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A proxy's life against an agent that follows a script, well behaved and not: three processes, the proxy between the
 * command (this one) and the agent.
 */
#include "runtime/proxy_monitor.h"
#include "runtime/proxy_session.h"
#include "runtime/sync.h"

#include "runtime/frame.h"
#include "runtime/vm_socket.h"

#include "common/err.h"
#include "common/log.h"
#include "common/proto.h"

#include "agent.pb.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Where the agent leaves the path of virtue. */
enum fault {
	NONE,
	GREETING_IS_NONSENSE,
	GREETING_NEVER_ENDS,
	OTHER_VERSION,
	HEADER_IS_NONSENSE,
	REPLY_IS_TOO_LONG,
	ENDS_AFTER_HELLO,
	REFUSES_THE_PROCESS,
	ANSWERS_WITH_ANOTHER_ID,
	REFUSES_A_STREAM,
	ENDS_WHILE_RUNNING,
	PAYLOAD_IS_NONSENSE,
};

struct script {
	enum fault fault;
	uint32_t wait_status;
	bool waits_for_signal;
	const char *notifies; /* what the process tells sd_notify; NULL: nothing, and it has no stream for it */
};

static char directory[64];
static int state_fd, notify_fd = -1;

/* ---- the agent ---- */

static void must(bool condition)
{
	if (!condition)
		_exit(77);
}

static void read_exactly(int fd, void *to, size_t length)
{
	for (size_t at = 0; at < length;) {
		ssize_t n = read(fd, (char *)to + at, length - at);

		if (n <= 0)
			_exit(0); /* the proxy is gone, which is its right */
		at += (size_t)n;
	}
}

static struct proto_header read_frame(int fd, uint8_t *payload, size_t size)
{
	uint8_t packed[PROTO_HEADER_SIZE];
	struct proto_header header;

	read_exactly(fd, packed, sizeof packed);
	must(proto_unpack_header(packed, &header) && header.length <= size);
	read_exactly(fd, payload, header.length);
	return header;
}

static void reply(int fd, uint16_t type, uint32_t id, const struct pb_msgdesc_s *fields, const void *message)
{
	struct err err = ERR_INIT;
	uint8_t *frame;
	size_t length;

	must(frame_encode(type, id, fields, message, &frame, &length, &err) == 0);
	must(write(fd, frame, length) == (ssize_t)length);
	free(frame);
}

static void reply_error(int fd, uint32_t id, uint32_t code, const char *text)
{
	agent_Error error = { .code = code, .text = (char *)(size_t)text };

	reply(fd, PROTO_ERROR, id, agent_Error_fields, &error);
}

static int accept_port(int listener, const char *wanted, enum fault fault)
{
	int fd = accept(listener, NULL, NULL);
	char line[32] = { 0 };

	must(fd >= 0);
	read_exactly(fd, line, strlen(wanted));
	must(strcmp(line, wanted) == 0);
	if (fault == GREETING_IS_NONSENSE)
		must(write(fd, "NO\n", 3) == 3);
	else if (fault == GREETING_NEVER_ENDS)
		must(write(fd, "OK 11111111111111111111111111111111111111111111", 47) == 47);
	else
		must(write(fd, "OK 5\n", 5) == 5);
	return fd;
}

static void serve_hello(int control, enum fault fault)
{
	uint8_t payload[4096];
	agent_Hello hello = { .version = fault == OTHER_VERSION ? PROTO_VERSION + 1 : PROTO_VERSION };
	static const uint8_t nonsense[PROTO_HEADER_SIZE] = { 1, 0, 0, 0, 3, 0, 9, 9 };
	struct proto_header header = read_frame(control, payload, sizeof payload);

	must(header.type == PROTO_HELLO);
	if (fault == HEADER_IS_NONSENSE) {
		must(write(control, nonsense, sizeof nonsense) == sizeof nonsense);
	} else if (fault == REPLY_IS_TOO_LONG) {
		struct proto_header large = { .type = PROTO_HELLO_REPLY, .id = header.id, .length = 65 };
		uint8_t packed[PROTO_HEADER_SIZE];

		proto_pack_header(packed, &large);
		must(write(control, packed, sizeof packed) == sizeof packed);
	} else if (fault == PAYLOAD_IS_NONSENSE) {
		struct proto_header small = { .type = PROTO_HELLO_REPLY, .id = header.id, .length = 4 };
		uint8_t packed[PROTO_HEADER_SIZE + 4] = { 0 };

		proto_pack_header(packed, &small);
		memset(packed + PROTO_HEADER_SIZE, 0xff, 4);
		must(write(control, packed, sizeof packed) == sizeof packed);
	} else {
		reply(control, PROTO_HELLO_REPLY, header.id, agent_Hello_fields, &hello);
	}
}

static void serve_streams(int listener, int *streams, int count, enum fault fault)
{
	agent_Empty empty = agent_Empty_init_zero;
	uint8_t payload[4096];

	for (int i = 0; i < count; i++) {
		streams[i] = accept_port(listener, "CONNECT 1025\n", NONE);
		struct proto_header header = read_frame(streams[i], payload, sizeof payload);
		must(header.type == PROTO_ATTACH);
		if (fault == REFUSES_A_STREAM && i == 1)
			reply_error(streams[i], header.id, ESRCH, "no such stream");
		else
			reply(streams[i], PROTO_ATTACH_REPLY, header.id, agent_Empty_fields, &empty);
	}
}

static void run_agent(int listener, const struct script *script)
{
	agent_ProcessReply process = { .pid = 42 };
	agent_WaitReply end = { .wait_status = script->wait_status };
	agent_Empty empty = agent_Empty_init_zero;
	uint8_t payload[4096];
	int streams[4], stream_count = script->notifies ? 4 : 3;
	int control = accept_port(listener, "CONNECT 1024\n", script->fault);

	serve_hello(control, script->fault);
	if (script->fault == ENDS_AFTER_HELLO)
		_exit(0);
	struct proto_header make = read_frame(control, payload, sizeof payload);
	must(make.type == PROTO_EXEC || make.type == PROTO_CREATE);
	if (script->fault == REFUSES_THE_PROCESS)
		reply_error(control, make.id, ENOENT, "exec: \"x\": executable file not found in $PATH");
	else
		reply(control, (uint16_t)(make.type + 1), make.id + (script->fault == ANSWERS_WITH_ANOTHER_ID ? 7 : 0),
		      agent_ProcessReply_fields, &process);
	struct proto_header wait_for = read_frame(control, payload, sizeof payload);
	must(wait_for.type == PROTO_WAIT);
	serve_streams(listener, streams, stream_count, script->fault);
	/* What comes in goes out. */
	must(read(streams[0], payload, 5) == 5 && write(streams[1], payload, 5) == 5);
	if (script->fault == ENDS_WHILE_RUNNING)
		_exit(0);
	if (script->waits_for_signal) {
		struct proto_header kill_it = read_frame(control, payload, sizeof payload);

		must(kill_it.type == PROTO_KILL);
		reply(control, PROTO_KILL_REPLY, kill_it.id, agent_Empty_fields, &empty);
	}
	if (script->notifies)
		must(write(streams[3], script->notifies, strlen(script->notifies)) > 0);
	for (int i = 0; i < stream_count; i++)
		close(streams[i]);
	reply(control, PROTO_WAIT_REPLY, wait_for.id, agent_WaitReply_fields, &end);
	/* Until the proxy goes, or asks for the end. */
	while (read(control, payload, sizeof payload) > 0)
		;
	_exit(0);
}

/* ---- the proxy, and the command ---- */

struct run {
	pid_t proxy, agent;
	int sync_fd, in, out;
};

static void run_proxy(int sync_fd, int in, int out, bool with_monitor)
{
	char sleep_path[] = "/bin/sh", c[] = "-c", hour[] = "exec sleep 100";
	char *monitor[] = { sleep_path, c, hour, NULL };
	struct err err = ERR_INIT;
	int request_fd = memfd_create("request", MFD_CLOEXEC);
	struct session_settings settings = {
		.container = "box",
		.exec = with_monitor ? "" : "e1",
		.state_fd = state_fd,
		.request_fd = request_fd,
		.sync_fd = sync_fd,
		.root_fd = -1,
		.last_words_fd = -1,
		.notify_fd = notify_fd,
		.terminal_fd = -1,
	};

	dup2(in, 0);
	dup2(out, 1);
	dup2(out, 2);
	close(in);
	close(out);
	log_setup("proxy", -1, LOG_TEXT, LOG_ERROR);
	if (with_monitor) {
		int keep[] = { state_fd, request_fd, sync_fd };

		settings.monitor = monitor_start(monitor, keep, 3, -1, NULL, &err);
		must(settings.monitor != NULL);
	}
	int status = session_run(&settings, &err);
	if (status < 0)
		_exit(99);
	if (WIFSIGNALED(status)) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(WTERMSIG(status), SIG_DFL);
		raise(WTERMSIG(status)); /* the filter knows no kill */
	}
	_exit(WEXITSTATUS(status));
}

static struct run start(const struct script *script, bool with_monitor)
{
	struct err err = ERR_INIT;
	struct run run;
	int sync_pair[2], in[2], out[2];

	unlinkat(state_fd, VM_SOCKET_VSOCK, 0);
	int listener = vm_socket_listen(state_fd, VM_SOCKET_VSOCK, SOCK_STREAM, &err);
	assert_true(listener >= 0);
	fcntl(listener, F_SETFL, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sync_pair), 0);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	run.agent = fork();
	if (run.agent == 0) {
		close(sync_pair[0]), close(sync_pair[1]), close(in[1]), close(out[1]);
		alarm(60);
		run_agent(listener, script);
	}
	run.proxy = fork();
	if (run.proxy == 0) {
		close(listener), close(sync_pair[0]), close(in[1]), close(out[0]);
		alarm(60);
		run_proxy(sync_pair[1], in[0], out[1], with_monitor);
	}
	close(listener);
	close(sync_pair[1]);
	close(in[0]);
	close(out[1]);
	run.sync_fd = sync_pair[0];
	run.in = in[1];
	run.out = out[0];
	return run;
}

static void tell(const struct run *run, enum sync_kind kind)
{
	struct sync_message message = { .kind = kind };

	sync_send(run->sync_fd, &message); /* it may have failed already, and then has said so */
}

/* The next message that is no stamp. */
static struct sync_message hear(const struct run *run)
{
	struct sync_message message;

	do {
		if (sync_receive(run->sync_fd, &message) < 0)
			message.kind = 0;
	} while (message.kind == SYNC_STAMP);
	return message;
}

/* Returns the wait status of the proxy. */
static int finish(struct run *run)
{
	int status;

	close(run->sync_fd);
	close(run->in);
	close(run->out);
	assert_int_equal(waitpid(run->proxy, &status, 0), run->proxy);
	kill(run->agent, SIGKILL);
	waitpid(run->agent, NULL, 0);
	return status;
}

static void expect_running(const struct run *run)
{
	char text[6] = { 0 };

	assert_int_equal(hear(run).kind, SYNC_JOINED);
	tell(run, SYNC_GO);
	struct sync_message created = hear(run);
	assert_string_equal(created.text, "");
	assert_int_equal(created.kind, SYNC_CREATED);
	assert_int_equal(created.number, 42);
	tell(run, SYNC_DONE);
	assert_int_equal(write(run->in, "bytes", 5), 5);
	for (int at = 0; at < 5;) {
		ssize_t n = read(run->out, text + at, (size_t)(5 - at));

		assert_true(n > 0);
		at += (int)n;
	}
	assert_string_equal(text, "bytes");
}

static void test_proxy_ends_as_its_process_ends(void **state)
{
	static const struct {
		uint32_t told;
		int status;
	} cases[] = {
		{ 0, 0 },
		{ 3 << 8, 3 << 8 },
		{ 255 << 8, 255 << 8 },
		{ SIGTERM, SIGTERM },
		{ SIGKILL, SIGKILL },
		/* Numbers that no wait(2) gives are cut to ones it gives. */
		{ 0xffff0000, 0 },
		{ 0x80 | SIGTERM, SIGTERM },
		/* Fixed: a signal that stops stopped the proxy; one that nobody has, or that does nothing, was success.
		 */
		{ SIGSTOP, SIGKILL },
		{ SIGTTOU, SIGKILL },
		{ SIGCHLD, SIGKILL },
		{ 0x7f, SIGKILL },
		{ 0x80, SIGKILL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct script script = { .wait_status = cases[i].told };
		struct run run = start(&script, false);

		expect_running(&run);
		assert_int_equal(finish(&run), cases[i].status);
	}
}

static void test_proxy_output_ends_before_the_proxy(void **state)
{
	struct script script = { .wait_status = 0 };
	struct run run = start(&script, false);
	char byte;

	(void)state;
	expect_running(&run);
	assert_int_equal(read(run.out, &byte, 1), 0);
	assert_int_equal(finish(&run), 0);
}

static void test_proxy_sends_notifications_on_before_it_ends(void **state)
{
	struct script script = { .wait_status = 0, .notifies = "STATUS=a\nREADY=1\n" };
	char text[64] = { 0 };
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
	notify_fd = pair[0];
	struct run run = start(&script, false);
	notify_fd = -1;
	close(pair[0]);
	expect_running(&run);
	assert_int_equal(finish(&run), 0);
	assert_true(recv(pair[1], text, sizeof text - 1, MSG_DONTWAIT) > 0);
	assert_string_equal(text, script.notifies);
	close(pair[1]);
	/* A service manager that has gone away is no reason to stay. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
	notify_fd = pair[0];
	close(pair[1]);
	run = start(&script, false);
	notify_fd = -1;
	close(pair[0]);
	expect_running(&run);
	assert_int_equal(finish(&run), 0);
}

static void test_proxy_passes_signals_on(void **state)
{
	struct script script = { .wait_status = 9 << 8, .waits_for_signal = true };
	struct run run = start(&script, false);

	(void)state;
	expect_running(&run);
	kill(run.proxy, SIGTERM);
	assert_int_equal(finish(&run), 9 << 8);
}

static void test_proxy_early_failures_reach_the_command(void **state)
{
	static const struct {
		enum fault fault;
		const char *text;
	} cases[] = {
		{ GREETING_IS_NONSENSE, "greeting makes no sense" },
		{ GREETING_NEVER_ENDS, "greeting makes no sense" },
		{ OTHER_VERSION, "another version" },
		{ HEADER_IS_NONSENSE, "no message" },
		{ REPLY_IS_TOO_LONG, "no message" },
		{ PAYLOAD_IS_NONSENSE, "cannot be read" },
		{ ENDS_AFTER_HELLO, "ended" },
		{ REFUSES_THE_PROCESS, "exec: \"x\": executable file not found in $PATH" },
		{ ANSWERS_WITH_ANOTHER_ID, "nobody asked for" },
		{ REFUSES_A_STREAM, "no such stream" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct script script = { .fault = cases[i].fault };
		struct run run = start(&script, false);

		assert_int_equal(hear(&run).kind, SYNC_JOINED);
		tell(&run, SYNC_GO);
		struct sync_message failed = hear(&run);
		assert_int_equal(failed.kind, SYNC_FAILED);
		if (!strstr(failed.text, cases[i].text))
			fail_msg("case %zu: \"%s\"", i, failed.text);
		assert_int_equal(finish(&run), 99 << 8);
	}
}

static void test_proxy_takes_the_monitor_along_when_it_fails(void **state)
{
	struct script script = { .fault = REFUSES_THE_PROCESS };
	struct run run = start(&script, true);

	(void)state;
	struct sync_message joined = hear(&run);
	assert_int_equal(joined.kind, SYNC_JOINED);
	assert_int_equal(kill((pid_t)joined.number, 0), 0);
	tell(&run, SYNC_GO);
	struct sync_message failed = hear(&run);
	assert_int_equal(failed.kind, SYNC_FAILED);
	assert_non_null(strstr(failed.text, "executable file not found"));
	assert_int_equal(finish(&run), 99 << 8);
	assert_int_equal(kill((pid_t)joined.number, 0), -1);
}

/* The monitor is killed in the end, but that is not why. */
static void test_proxy_names_what_broke_when_the_monitor_stays(void **state)
{
	struct script script = { .fault = PAYLOAD_IS_NONSENSE };
	struct run run = start(&script, true);

	(void)state;
	assert_int_equal(hear(&run).kind, SYNC_JOINED);
	tell(&run, SYNC_GO);
	struct sync_message failed = hear(&run);
	assert_int_equal(failed.kind, SYNC_FAILED);
	if (!strstr(failed.text, "cannot be read"))
		fail_msg("\"%s\"", failed.text);
	assert_int_equal(finish(&run), 99 << 8);
}

static void test_proxy_goes_with_a_command_that_dies(void **state)
{
	(void)state;
	/* Before GO, and after CREATED without DONE. */
	for (int late = 0; late < 2; late++) {
		struct script script = { .fault = NONE };
		struct run run = start(&script, true);
		struct sync_message joined = hear(&run);

		assert_int_equal(joined.kind, SYNC_JOINED);
		if (late) {
			tell(&run, SYNC_GO);
			assert_int_equal(hear(&run).kind, SYNC_CREATED);
		}
		assert_int_equal(finish(&run), 99 << 8);
		assert_int_equal(kill((pid_t)joined.number, 0), -1);
	}
}

static void test_proxy_vm_lost_while_running_is_sigkill(void **state)
{
	struct script script = { .fault = ENDS_WHILE_RUNNING };
	struct run run = start(&script, false);

	(void)state;
	expect_running(&run);
	assert_int_equal(hear(&run).kind, SYNC_LOST);
	assert_int_equal(finish(&run), SIGKILL);
}

static void test_proxy_monitor_killed_is_named(void **state)
{
	struct script script = { .waits_for_signal = true };
	struct run run = start(&script, true);
	struct sync_message joined = hear(&run);
	char text[5];

	(void)state;
	tell(&run, SYNC_GO);
	assert_int_equal(hear(&run).kind, SYNC_CREATED);
	tell(&run, SYNC_DONE);
	assert_int_equal(write(run.in, "bytes", 5), 5);
	assert_int_equal(read(run.out, text, 5), 5);
	kill((pid_t)joined.number, SIGKILL);
	struct sync_message lost = hear(&run);
	assert_int_equal(lost.kind, SYNC_LOST);
	assert_string_equal(lost.text, "the monitor was killed by signal 9");
	assert_int_equal(finish(&run), SIGKILL);
}

static void test_proxy_interrupted_while_the_guest_boots(void **state)
{
	struct script script = { .fault = NONE };
	struct run run = start(&script, true);

	(void)state;
	assert_int_equal(hear(&run).kind, SYNC_JOINED);
	kill(run.proxy, SIGINT);
	struct sync_message failed = hear(&run);
	assert_int_equal(failed.kind, SYNC_FAILED);
	assert_string_equal(failed.text, "interrupted");
	assert_int_equal(finish(&run), 99 << 8);
}

static int setup(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/test_proxy.XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	state_fd = open(directory, O_PATH | O_DIRECTORY);
	return state_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	unlinkat(state_fd, VM_SOCKET_VSOCK, 0);
	close(state_fd);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_proxy_ends_as_its_process_ends),
		cmocka_unit_test(test_proxy_output_ends_before_the_proxy),
		cmocka_unit_test(test_proxy_sends_notifications_on_before_it_ends),
		cmocka_unit_test(test_proxy_passes_signals_on),
		cmocka_unit_test(test_proxy_early_failures_reach_the_command),
		cmocka_unit_test(test_proxy_takes_the_monitor_along_when_it_fails),
		cmocka_unit_test(test_proxy_names_what_broke_when_the_monitor_stays),
		cmocka_unit_test(test_proxy_goes_with_a_command_that_dies),
		cmocka_unit_test(test_proxy_vm_lost_while_running_is_sigkill),
		cmocka_unit_test(test_proxy_monitor_killed_is_named),
		cmocka_unit_test(test_proxy_interrupted_while_the_guest_boots),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, setup, teardown);
}
