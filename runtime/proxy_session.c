/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/proxy_session.h"

#include "runtime/frame.h"
#include "runtime/last_words.h"
#include "runtime/net_watch.h"
#include "runtime/network.h"
#include "runtime/port_forward.h"
#include "runtime/proxy_channel.h"
#include "runtime/proxy_confine.h"
#include "runtime/proxy_monitor.h"
#include "runtime/proxy_request.h"
#include "runtime/proxy_root.h"
#include "runtime/proxy_stdio.h"
#include "runtime/signals.h"
#include "runtime/statedir.h"
#include "runtime/sync.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/proto.h"

#include "agent.pb.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

/* Bounds for what depends on the guest. Generous: a busy host is no reason to fail. */
enum { START_SECONDS = 120, LOSE_SECONDS = 5, ASK_SECONDS = 1, STOP_SECONDS = 10 };

/* Request ids on the control connection. Replies to those from ID_SIGNAL on are not waited for. */
enum { ID_HELLO = 1, ID_MAKE = 2, ID_WAIT = 3, ID_SHUTDOWN = 4, ID_SIGNAL = 16 };

enum state {
	CONNECTING,
	GREETING,
	WAITING,
	MAKING,
	ATTACHING,
	HANDING_OVER,
	RUNNING,
	DRAINING,
	STOPPING,
	LOSING,
	FAILED,
	ENDED,
	STATE_COUNT
};

enum event {
	OPENED,       /* the agent accepted the connection */
	GREETED,      /* and speaks our version */
	GO,           /* the command's hooks are through */
	MADE,         /* CREATE or EXEC succeeded */
	ATTACHED,     /* all streams */
	DONE,         /* the command wrote the pid file */
	PROCESS_GONE, /* WAIT answered */
	DRAINED,      /* all output is written */
	REFUSED,      /* the agent answered with an error, s->why */
	BROKEN,       /* the connection ended or makes no sense, s->why */
	MONITOR_GONE,
	COMMAND_GONE,
	INTERRUPTED, /* a signal that means "end", while there is no process yet to pass it to, or none any more */
	TIMEOUT,
	EVENT_COUNT
};

static const char *const state_names[] = {
	[CONNECTING] = "connecting", [GREETING] = "greeting",   [WAITING] = "waiting",
	[MAKING] = "making",         [ATTACHING] = "attaching", [HANDING_OVER] = "handing over",
	[RUNNING] = "running",       [DRAINING] = "draining",   [STOPPING] = "stopping",
	[LOSING] = "losing",         [FAILED] = "failed",       [ENDED] = "ended",
};
static_assert(sizeof state_names / sizeof state_names[0] == STATE_COUNT, "a name for every state");

static const char *const event_names[] = {
	[OPENED] = "opened",
	[GREETED] = "greeted",
	[GO] = "go",
	[MADE] = "made",
	[ATTACHED] = "attached",
	[DONE] = "done",
	[PROCESS_GONE] = "process gone",
	[DRAINED] = "drained",
	[REFUSED] = "refused",
	[BROKEN] = "broken",
	[MONITOR_GONE] = "monitor gone",
	[COMMAND_GONE] = "command gone",
	[INTERRUPTED] = "interrupted",
	[TIMEOUT] = "timeout",
};
static_assert(sizeof event_names / sizeof event_names[0] == EVENT_COUNT, "a name for every event");

struct session {
	const struct session_settings *settings;
	enum state state;
	struct loop *loop;
	struct channel *control;
	struct stdio *stdio;
	struct net_watch *net;      /* NULL: nothing to watch */
	struct port_forward *ports; /* of a pod; NULL: none */
	struct loop_watch *sync_watch, *signal_watch, *timer_watch;
	int sync_fd, terminal_fd, terminal_size_fd, signal_fd, timer_fd;
	int end_fd, records_fd; /* what is still to be written to in the state directory; -1: nothing */
	bool got_go, handed_over, process_gone, out_of_memory, why_is_certain;
	bool asked_where; /* the monitor says where the guest stands that did not start */
	int wait_status;
	int guest_pid;
	uint32_t next_id;
	struct winsize size; /* as we told the guest; what its description said we don't know */
	char why[ERR_TEXT_MAX];
};

typedef enum state step(struct session *s);

static void happen(struct session *s, enum event event);

static void set_timer(struct session *s, int seconds)
{
	struct itimerspec limit = { .it_value.tv_sec = seconds };

	timerfd_settime(s->timer_fd, 0, &limit, NULL);
}

static void set_why(struct session *s, const char *why)
{
	/* The first that breaks explains the others. */
	if (!s->why_is_certain && s->state != LOSING)
		snprintf(s->why, sizeof s->why, "%s", why);
}

static void tell_command(struct session *s, enum sync_kind kind, int64_t number, const char *text)
{
	const struct monitor *monitor = s->settings->monitor;
	int code = monitor && !s->why_is_certain ? monitor_code(monitor) : 0;
	struct sync_message message = { .kind = kind, .code = code ? (uint32_t)code : EIO, .number = number };

	if (s->sync_fd < 0)
		return;
	snprintf(message.text, sizeof message.text, "%s", text);
	sync_send(s->sync_fd, &message); /* if it is gone, that is an event of its own */
}

/* ---- steps ---- */

static enum state lose(struct session *s)
{
	/* The monitor usually knows more: a panic's text comes before its end. It gets a moment to say so. */
	channel_destroy(s->control);
	s->control = NULL;
	if (!s->settings->monitor && (!s->handed_over || !last_words_exist(s->settings->state_fd)))
		return FAILED;
	/* Without a monitor of its own: its sandbox's proxy needs that moment. */
	set_timer(s, s->settings->monitor ? LOSE_SECONDS : ASK_SECONDS);
	return LOSING;
}

static enum state give_up(struct session *s)
{
	channel_destroy(s->control);
	s->control = NULL;
	if (!s->settings->monitor)
		return FAILED;
	s->why_is_certain = true; /* what the monitor says now is only that we killed it */
	monitor_kill(s->settings->monitor);
	set_timer(s, LOSE_SECONDS);
	return LOSING;
}

/* Its last words explain more than the broken connection that may have come first. */
static enum state monitor_lost(struct session *s)
{
	size_t used = strlen(s->why);

	if (!s->why_is_certain)
		snprintf(s->why, sizeof s->why, "%s", monitor_reason(s->settings->monitor));
	else if (s->asked_where)
		snprintf(s->why + used, sizeof s->why - used, " (%s)", monitor_reason(s->settings->monitor));
	return FAILED;
}

static enum state kill_monitor(struct session *s)
{
	monitor_kill(s->settings->monitor);
	return s->state;
}

/* The monitor has had its moment: what broke is all there is to say, and not that we killed it. */
static enum state lose_patience(struct session *s)
{
	if (!s->settings->monitor) {
		last_words_read(s->settings->state_fd, s->why, sizeof s->why);
		return FAILED;
	}
	s->why_is_certain = s->why[0] != '\0';
	return kill_monitor(s);
}

static enum state boot_timed_out(struct session *s)
{
	struct monitor *monitor = s->settings->monitor;

	if (!monitor) {
		snprintf(s->why, sizeof s->why, "the guest did not answer within %d seconds", START_SECONDS);
		return give_up(s);
	}
	snprintf(s->why, sizeof s->why, "the guest did not start within %d seconds: %s", START_SECONDS,
		 monitor_stage(monitor));
	channel_destroy(s->control);
	s->control = NULL;
	s->why_is_certain = s->asked_where = true;
	monitor_terminate(monitor); /* killed if that does not help: lose_patience */
	set_timer(s, STOP_SECONDS);
	return LOSING;
}

static enum state make_timed_out(struct session *s)
{
	snprintf(s->why, sizeof s->why, "the guest did not make the %s within %d seconds",
		 *s->settings->exec ? "process" : "container", START_SECONDS);
	return give_up(s);
}

static enum state interrupted(struct session *s)
{
	set_why(s, "interrupted");
	return give_up(s);
}

static enum state command_gone(struct session *s)
{
	set_why(s, "the command that started this proxy is gone");
	return give_up(s);
}

static enum state forget_command(struct session *s)
{
	loop_remove(s->loop, s->sync_watch);
	s->sync_watch = NULL;
	close_fd(&s->sync_fd);
	return s->state;
}

static void stdio_attached(void *arg)
{
	happen(arg, ATTACHED);
}

static void stdio_failed(void *arg, const char *why)
{
	set_why(arg, why);
	happen(arg, BROKEN);
}

static void stdio_drained(void *arg)
{
	happen(arg, DRAINED);
}

static const struct stdio_callbacks stdio_callbacks = { stdio_attached, stdio_failed, stdio_drained };

/* What brings the process into being, as far as this session goes. */
static uint16_t make_type(const struct session *s)
{
	return *s->settings->exec ? PROTO_EXEC : s->settings->adopts ? PROTO_ADOPT : PROTO_CREATE;
}

static enum state make(struct session *s)
{
	struct err err = ERR_INIT;

	set_timer(s, START_SECONDS);
	/* The streams' connections are made while the guest is at work, and used when it is done. */
	if (proxy_request_send(s->control, s->settings->request_fd, make_type(s), ID_MAKE, &err) == 0)
		s->stdio = stdio_connect(s->loop, s->settings->state_fd, s->settings->container, s->settings->exec,
					 take_fd(&s->terminal_fd), s->settings->preserved_fds, s->settings->notify_fd,
					 &stdio_callbacks, s, &err);
	if (!s->stdio) {
		set_why(s, err.text);
		return lose(s);
	}
	return MAKING;
}

static enum state greet(struct session *s)
{
	agent_Hello hello = { .version = PROTO_VERSION };
	struct err err = ERR_INIT;

	if (channel_send(s->control, PROTO_HELLO, ID_HELLO, agent_Hello_fields, &hello, &err) < 0) {
		set_why(s, err.text);
		return lose(s);
	}
	/* The request need not wait for the answer: an agent of another version refuses both. */
	return s->got_go ? make(s) : GREETING;
}

static enum state note_go(struct session *s)
{
	s->got_go = true;
	return s->state;
}

static enum state greeted(struct session *s)
{
	set_timer(s, 0); /* hooks have time-outs of their own */
	return WAITING;
}

static enum state stay(struct session *s)
{
	return s->state;
}

static enum state attach(struct session *s)
{
	agent_ProcessRequest process = {
		.container = (char *)(size_t)s->settings->container,
		.exec = (char *)(size_t)s->settings->exec,
	};
	struct err err = ERR_INIT;

	if (channel_send(s->control, PROTO_WAIT, ID_WAIT, agent_ProcessRequest_fields, &process, &err) < 0) {
		set_why(s, err.text);
		return lose(s);
	}
	stdio_attach(s->stdio);
	return ATTACHING;
}

static void send_size(struct session *s)
{
	struct winsize size;
	struct err err = ERR_INIT;

	if (s->terminal_size_fd < 0 || !s->control || ioctl(s->terminal_size_fd, TIOCGWINSZ, &size) < 0)
		return;
	if (size.ws_row == s->size.ws_row && size.ws_col == s->size.ws_col)
		return;
	agent_ResizeRequest request = {
		.container = (char *)(size_t)s->settings->container,
		.exec = (char *)(size_t)s->settings->exec,
		.rows = size.ws_row,
		.columns = size.ws_col,
	};
	s->size = size;
	if (channel_send(s->control, PROTO_RESIZE, s->next_id++, agent_ResizeRequest_fields, &request, &err) < 0)
		log_debug("resize: %s", err.text);
}

/*
 * The state directory holds sockets that are still to be connected to, and records that commands of root will believe:
 * the first work on a read-only mount as well. What is to be written is opened before.
 */
static int detach_state(struct session *s, struct err *err)
{
	int state_fd = s->settings->state_fd;

	s->end_fd = last_words_open(state_fd);
	if (*s->settings->exec) {
		(void)mkdirat(state_fd, STATEDIR_EXEC, 0700); /* the command may be here before us, or after */
		s->records_fd = proxy_root_detach(state_fd, STATEDIR_EXEC, false, err);
		if (s->records_fd < 0)
			return -1;
	}
	auto_fd int detached = proxy_root_detach(state_fd, "", true, err);
	if (detached < 0)
		return -1;
	/* Under the number that everybody knows. */
	return dup3(detached, state_fd, O_CLOEXEC) < 0 ? err_set_errno(err, "dup3") : 0;
}

static enum state hand_over(struct session *s)
{
	struct err err = ERR_INIT;
	int root_fd = s->settings->root_fd;

	/*
	 * The last path of the host was that of the sockets. Not going on is better than showing the host's files.
	 * Another user than root has no right to leave its mounts, and no more rights to files than before.
	 */
	if (s->settings->leaves_mounts && (detach_state(s, &err) < 0 || proxy_root_enter(&root_fd, &err) < 0)) {
		set_why(s, err.text);
		return give_up(s);
	}
	/* From here on a program of the container's may have a say in what the agent sends. */
	if (proxy_confine(s->net, &err) < 0) {
		set_why(s, err.text);
		return give_up(s);
	}
	set_timer(s, 0);
	send_size(s); /* what the engine has set by now; later changes are signals */
	tell_command(s, SYNC_CREATED, s->guest_pid, "");
	return HANDING_OVER;
}

static enum state end(struct session *s)
{
	struct err err = ERR_INIT;
	agent_Empty empty = agent_Empty_init_zero;

	stdio_destroy(s->stdio); /* now, not later: whoever reads our streams waits for their end */
	s->stdio = NULL;
	net_watch_destroy(s->net);
	s->net = NULL;
	port_forward_destroy(s->ports);
	s->ports = NULL;
	close_fd(&s->terminal_size_fd);
	if (!s->settings->monitor)
		return ENDED;
	set_timer(s, STOP_SECONDS);
	if (!s->control || channel_send(s->control, PROTO_SHUTDOWN, ID_SHUTDOWN, agent_Empty_fields, &empty, &err) < 0)
		monitor_kill(s->settings->monitor);
	return STOPPING;
}

static enum state drain(struct session *s)
{
	stdio_finish(s->stdio);
	return stdio_is_drained(s->stdio) ? end(s) : DRAINING;
}

static enum state run(struct session *s)
{
	s->handed_over = true;
	return s->process_gone ? drain(s) : RUNNING;
}

/* The output that was still on its way is lost with the VM, the status is not. */
static enum state drain_was_cut(struct session *s)
{
	log_warn("container %s: output lost: %s", s->settings->container, s->why);
	return end(s);
}

static enum state drain_lost_monitor(struct session *s)
{
	(void)s;
	return ENDED;
}

static enum state stopped(struct session *s)
{
	(void)s;
	return ENDED;
}

static step *const table[STATE_COUNT][EVENT_COUNT] = {
	[CONNECTING] = {
		[OPENED] = greet, [GO] = note_go, [BROKEN] = lose, [MONITOR_GONE] = monitor_lost,
		[COMMAND_GONE] = command_gone, [INTERRUPTED] = interrupted, [TIMEOUT] = boot_timed_out,
	},
	[GREETING] = {
		[GREETED] = greeted, [GO] = make, [REFUSED] = lose, [BROKEN] = lose, [MONITOR_GONE] = monitor_lost,
		[COMMAND_GONE] = command_gone, [INTERRUPTED] = interrupted, [TIMEOUT] = boot_timed_out,
	},
	[WAITING] = {
		[GO] = make, [BROKEN] = lose, [MONITOR_GONE] = monitor_lost, [COMMAND_GONE] = command_gone,
		[INTERRUPTED] = interrupted,
	},
	[MAKING] = {
		[GREETED] = stay, [MADE] = attach, [REFUSED] = give_up, [BROKEN] = lose, [MONITOR_GONE] = monitor_lost,
		[COMMAND_GONE] = command_gone, [INTERRUPTED] = interrupted, [TIMEOUT] = make_timed_out,
	},
	[ATTACHING] = {
		[ATTACHED] = hand_over, [PROCESS_GONE] = stay, [REFUSED] = give_up, [BROKEN] = lose,
		[MONITOR_GONE] = monitor_lost, [COMMAND_GONE] = command_gone, [INTERRUPTED] = interrupted,
		[TIMEOUT] = make_timed_out,
	},
	[HANDING_OVER] = {
		[DONE] = run, [PROCESS_GONE] = stay, [DRAINED] = stay, [BROKEN] = lose,
		[MONITOR_GONE] = monitor_lost, [COMMAND_GONE] = command_gone, [INTERRUPTED] = interrupted,
	},
	[RUNNING] = {
		[PROCESS_GONE] = drain, [REFUSED] = give_up, [BROKEN] = lose, [MONITOR_GONE] = monitor_lost,
		[COMMAND_GONE] = forget_command,
	},
	[DRAINING] = {
		[DRAINED] = end, [BROKEN] = drain_was_cut, [MONITOR_GONE] = drain_lost_monitor,
		[COMMAND_GONE] = forget_command, [INTERRUPTED] = end,
	},
	[STOPPING] = {
		[MONITOR_GONE] = stopped, [COMMAND_GONE] = forget_command, [INTERRUPTED] = kill_monitor,
		[TIMEOUT] = kill_monitor,
	},
	[LOSING] = {
		[MONITOR_GONE] = monitor_lost, [COMMAND_GONE] = forget_command, [INTERRUPTED] = lose_patience,
		[TIMEOUT] = lose_patience,
	},
};

static void happen(struct session *s, enum event event)
{
	step *act = table[s->state][event];

	if (!act) {
		log_debug("proxy: %s while %s means nothing", event_names[event], state_names[s->state]);
		return;
	}
	enum state next = act(s);
	if (next != s->state)
		log_debug("proxy: %s -> %s (%s)", state_names[s->state], state_names[next], event_names[event]);
	s->state = next;
	if (next == FAILED || next == ENDED)
		loop_stop(s->loop, 0);
}

/* ---- what arrives ---- */

static void control_opened(void *arg)
{
	happen(arg, OPENED);
}

static void control_closed(void *arg, const char *why)
{
	struct session *s = arg;

	set_why(s, why);
	happen(s, BROKEN);
}

static void broken(struct session *s, const char *why)
{
	set_why(s, why);
	happen(s, BROKEN);
}

static void receive_hello(struct session *s, const uint8_t *payload, size_t length)
{
	agent_Hello hello = agent_Hello_init_zero;
	struct err err = ERR_INIT;

	if (frame_decode(agent_Hello_fields, payload, length, &hello, &err) < 0)
		broken(s, err.text);
	else if (hello.version != PROTO_VERSION)
		broken(s, "the guest's agent speaks another version of the protocol");
	else
		happen(s, GREETED);
}

static void receive_process(struct session *s, const uint8_t *payload, size_t length)
{
	agent_ProcessReply reply = agent_ProcessReply_init_zero;
	struct err err = ERR_INIT;

	if (frame_decode(agent_ProcessReply_fields, payload, length, &reply, &err) < 0) {
		broken(s, err.text);
		return;
	}
	s->guest_pid = reply.pid;
	happen(s, MADE);
}

/*
 * What ended the process, whatever the guest says: an exit status, or a signal that ends processes. The proxy ends the
 * same way, and a signal that stops it instead would keep it for good.
 */
static int plausible_status(uint32_t told)
{
	static const int harmless[] = { SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT, SIGCHLD, SIGURG, SIGWINCH };
	int number = (int)(told & 0x7f);

	if ((told & 0xff) == 0)
		return (int)(told & 0xff00);
	for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
		if (number == harmless[i])
			return SIGKILL;
	return number >= 1 && number <= SIGRTMAX ? number : SIGKILL;
}

static void receive_wait(struct session *s, const uint8_t *payload, size_t length)
{
	agent_WaitReply reply = agent_WaitReply_init_zero;
	struct err err = ERR_INIT;

	if (frame_decode(agent_WaitReply_fields, payload, length, &reply, &err) < 0) {
		broken(s, err.text);
		return;
	}
	s->wait_status = plausible_status(reply.wait_status);
	s->process_gone = true;
	s->out_of_memory = reply.oom_killed;
	happen(s, PROCESS_GONE);
}

static void control_received(void *arg, const struct proto_header *header, const uint8_t *payload)
{
	static const uint16_t replies[] = {
		[ID_HELLO] = PROTO_HELLO_REPLY,
		[ID_WAIT] = PROTO_WAIT_REPLY,
		[ID_SHUTDOWN] = PROTO_SHUTDOWN_REPLY,
	};
	struct session *s = arg;
	struct err err = ERR_INIT;

	/* Signals and sizes: nobody waits for the answer, and a process that has just ended is no news. */
	if (header->id >= ID_SIGNAL && header->id < s->next_id)
		return;
	if (header->type == PROTO_ERROR) {
		frame_decode_error(payload, header->length, &err);
		set_why(s, err.text);
		happen(s, REFUSED);
	} else if (header->id == ID_MAKE && header->type == make_type(s) + 1) {
		receive_process(s, payload, header->length);
	} else if (header->id >= sizeof replies / sizeof replies[0] || header->type != replies[header->id]) {
		broken(s, "the guest sent an answer nobody asked for");
	} else if (header->id == ID_HELLO) {
		receive_hello(s, payload, header->length);
	} else if (header->id == ID_WAIT) {
		receive_wait(s, payload, header->length);
	}
}

static const struct channel_callbacks control_callbacks = { control_opened, control_received, control_closed };

static void monitor_stamped(void *arg, uint32_t stamp, uint64_t ns)
{
	struct session *s = arg;
	struct sync_message message = { .kind = SYNC_STAMP, .code = stamp, .number = (int64_t)ns };

	if (s->sync_fd >= 0)
		sync_send(s->sync_fd, &message);
}

static void monitor_ended(void *arg)
{
	struct session *s = arg;

	/* The process's status may have arrived in the same round, and it counts for more. */
	if (s->control && s->state != STOPPING)
		channel_read_pending(s->control);
	happen(s, MONITOR_GONE);
}

static const struct monitor_callbacks monitor_callbacks = { monitor_stamped, monitor_ended };

static void sync_ready(void *arg, uint32_t events)
{
	struct session *s = arg;
	struct sync_message message;

	(void)events;
	if (sync_receive(s->sync_fd, &message) < 0)
		happen(s, COMMAND_GONE);
	else if (message.kind == SYNC_GO)
		happen(s, GO);
	else if (message.kind == SYNC_DONE)
		happen(s, DONE);
}

static void forward(struct session *s, int number)
{
	agent_KillRequest request = {
		.container = (char *)(size_t)s->settings->container,
		.exec = (char *)(size_t)s->settings->exec,
		.signal = (uint32_t)number,
	};
	struct err err = ERR_INIT;

	if (channel_send(s->control, PROTO_KILL, s->next_id++, agent_KillRequest_fields, &request, &err) < 0)
		log_debug("signal %d: %s", number, err.text);
}

static void signal_ready(void *arg, uint32_t events)
{
	struct session *s = arg;
	struct signalfd_siginfo info;

	(void)events;
	if (read(s->signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
		return;
	int number = (int)info.ssi_signo;
	if (number == SIGWINCH && s->terminal_size_fd >= 0) {
		if (s->state == RUNNING || s->state == HANDING_OVER)
			send_size(s);
	} else if ((s->state == RUNNING || s->state == HANDING_OVER) && s->control) {
		forward(s, number);
	} else if (number == SIGINT || number == SIGTERM || number == SIGQUIT || number == SIGHUP) {
		happen(s, INTERRUPTED);
	}
}

static void timer_ready(void *arg, uint32_t events)
{
	struct session *s = arg;
	uint64_t count;

	(void)events;
	if (read(s->timer_fd, &count, sizeof count) == (ssize_t)sizeof count)
		happen(s, TIMEOUT);
}

/* ---- beginning and end ---- */

static int open_fds(struct session *s, struct err *err)
{
	sigset_t signals;

	signal_forwardable(&signals);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	s->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	s->loop = loop_create(err);
	if (!s->loop)
		return -1;
	if (s->signal_fd < 0 || s->timer_fd < 0)
		return err_set_errno(err, "cannot wait for signals");
	/* A copy for sizes: the stream's end closes the other one. */
	s->terminal_size_fd = s->terminal_fd >= 0 ? fcntl(s->terminal_fd, F_DUPFD_CLOEXEC, 3) : -1;
	s->signal_watch = loop_add_fd(s->loop, s->signal_fd, EPOLLIN, signal_ready, s);
	s->timer_watch = loop_add_fd(s->loop, s->timer_fd, EPOLLIN, timer_ready, s);
	s->sync_watch = loop_add_fd(s->loop, s->sync_fd, EPOLLIN, sync_ready, s);
	if (!s->signal_watch || !s->timer_watch || !s->sync_watch)
		return err_set_errno(err, "cannot wait for events");
	return 0;
}

/* A container runs without it, too: what its network is at `start` the command sees to. */
static void watch_network(struct session *s)
{
	const struct net_watch_settings watched = {
		.state_fd = s->settings->state_fd,
		.use_vhost = s->settings->use_vhost,
		.resolv_fd = s->settings->resolv_fd,
	};
	struct err err = ERR_INIT;

	if (!s->settings->watches_network || network_is_hosts())
		return;
	s->net = net_watch_create(s->loop, &watched, &err);
	if (!s->net)
		log_warn("changes of the network will not be seen: %s", err.text);
}

/*
 * Not by if_nametoindex: for a name that is not there the kernel runs modprobe, which costs as much as a fifth of a
 * container's start.
 */
static bool has_interface(const char *name)
{
	auto_file FILE *list = fopen("/proc/thread-self/net/dev", "re");
	size_t length = strlen(name);
	char line[512];

	while (list && fgets(line, sizeof line, list)) {
		const char *start = line + strspn(line, " ");

		if (strncmp(start, name, length) == 0 && start[length] == ':')
			return true;
	}
	return false;
}

/*
 * Engines forward ports of pods. Other containers they reach by their address, over their interfaces; but Podman's
 * helper for slirp4netns does that from within the namespace, where the address of slirp4netns's tap is a local one.
 */
static void forward_ports(struct session *s)
{
	struct err err = ERR_INIT;

	if (!s->settings->watches_network || network_is_hosts())
		return;
	bool has_slirp = has_interface("tap0"); /* Podman's name for it */
	if (!has_slirp && !last_words_exist(s->settings->state_fd))
		return;
	s->ports = port_forward_create(s->loop, s->settings->state_fd, has_slirp, &err);
	if (!s->ports)
		log_debug("ports cannot be forwarded: %s", err.text);
}

static int begin(struct session *s, struct err *err)
{
	const struct session_settings *settings = s->settings;

	if (open_fds(s, err) < 0)
		return -1;
	if (settings->monitor && monitor_watch(settings->monitor, s->loop, &monitor_callbacks, s, err) < 0)
		return -1;
	s->control = channel_connect(s->loop, settings->state_fd, AGENT_PORT_CONTROL, &control_callbacks, s, err);
	if (!s->control)
		return -1;
	watch_network(s);
	forward_ports(s);
	set_timer(s, START_SECONDS);
	tell_command(s, SYNC_JOINED, settings->monitor ? monitor_pid(settings->monitor) : 0, "");
	return 0;
}

static int conclude(struct session *s)
{
	if (s->state == ENDED)
		return s->wait_status;
	if (!s->handed_over) {
		tell_command(s, SYNC_FAILED, 0, s->why);
		return -1;
	}
	tell_command(s, SYNC_LOST, 0, s->why);
	if (s->settings->monitor)
		last_words_write(s->end_fd, s->why);
	last_words_log(s->settings->last_words_fd, s->why);
	if (!*s->settings->exec) /* the container's own proxy says it once for all */
		log_error("container %s: the virtual machine was lost: %s", s->settings->container, s->why);
	/* The status counts more than the VM: it may have been told before it went. */
	return s->process_gone ? s->wait_status : SIGKILL;
}

/* A process has one session. */
static struct session session;

int session_records_fd(void)
{
	return session.records_fd;
}

bool session_was_out_of_memory(void)
{
	return session.process_gone && session.out_of_memory;
}

int session_run(const struct session_settings *settings, struct err *err)
{
	struct session *s = &session;

	*s = (struct session){
		.settings = settings,
		.sync_fd = settings->sync_fd,
		.terminal_fd = settings->terminal_fd,
		.terminal_size_fd = -1,
		.signal_fd = -1,
		.timer_fd = -1,
		.end_fd = -1,
		.records_fd = -1,
		.next_id = ID_SIGNAL,
	};
	if (begin(s, err) < 0) {
		tell_command(s, SYNC_FAILED, 0, err->text);
		return -1;
	}
	if (loop_run(s->loop) < 0)
		set_why(s, "cannot wait for events");
	return conclude(s);
}
