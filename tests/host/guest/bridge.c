// SPDX-License-Identifier: Apache-2.0
/*
 * PID 1 of the test host once it is up: runs one command and carries its
 * standard streams, exit status, signals and window size over virtio-serial
 * ports to tests/host/run.
 *
 *   port 1, control   in:  "<length>\n", then that many bytes of NUL-ended
 *                          settings (see read_settings), then lines:
 *                          "winch ROWS COLS", "signal N"
 *                     out: "running\n" at the start, "exit N\n" at the end
 *   port 2            the command's standard input
 *   port 3, port 4    its standard output and error
 *
 * The ports are never written in blocking mode: the driver would spin in the
 * kernel until the other side has read. A port accepts the next write once the
 * last one has left the machine, which is also how we know that everything has
 * arrived before we report the exit status.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	MAX_ARGS = 4096,
	SETTINGS_MAX = 1 << 21,
	IDLE_MS = 300,	 // after the command: how long its leftovers may stay quiet
	DRAIN_MS = 20000, // and how long all of this may take
};

struct pump {
	int in, out; // -1 when closed
	bool own_out; // out is closed with in: the reader sees the end
	size_t off, len;
	char buf[32768];
};

static struct {
	bool tty, input;
	char *cwd;
	char *argv[MAX_ARGS + 1];
	size_t argc;
} settings;

static int control = -1;

static void power_off(void)
{
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("test host: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	power_off();
}

static long now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int port_open(int nr)
{
	char pattern[32];
	glob_t found;
	// The first number is the virtio device's, which depends on what else there is.
	snprintf(pattern, sizeof pattern, "/dev/vport*p%d", nr);
	for (int tries = 0; tries < 500; tries++) { // the driver makes them a little later
		if (glob(pattern, 0, NULL, &found) == 0) {
			int fd = open(found.gl_pathv[0], O_RDWR | O_NONBLOCK | O_CLOEXEC);
			globfree(&found);
			if (fd >= 0)
				return fd;
		}
		usleep(10000);
	}
	fail("%s: no such port", pattern);
	return -1;
}

static void wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	poll(&p, 1, DRAIN_MS);
}

static void control_say(const char *text)
{
	wait_for(control, POLLOUT);
	if (write(control, text, strlen(text)) < 0)
		fail("control port: %s", strerror(errno));
	wait_for(control, POLLOUT);
}

static void control_read(char *buf, size_t len)
{
	for (size_t got = 0; got < len;) {
		wait_for(control, POLLIN);
		ssize_t n = read(control, buf + got, len - got);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			fail("control port: no settings");
		if (n > 0)
			got += (size_t)n;
	}
}

/* TAG:ro|rw:PATH, a directory of the machine outside. */
static void mount_share(char *value)
{
	char *mode = strchr(value, ':');
	char *path = mode ? strchr(mode + 1, ':') : NULL;
	if (!path)
		fail("bad share");
	*mode++ = 0;
	*path++ = 0;
	bool readonly = strcmp(mode, "ro") == 0;
	mkdir("/mnt/share", 0755);
	mkdir(path, 0755);
	if (mount(value, path, "9p", readonly ? MS_RDONLY : 0,
		  readonly ? "trans=virtio,version=9p2000.L,msize=512000,cache=loose"
			   : "trans=virtio,version=9p2000.L,msize=512000") < 0)
		fail("cannot mount %s: %s", path, strerror(errno));
}

static void read_settings(void)
{
	size_t len = 0;
	char c;
	for (control_read(&c, 1); c != '\n'; control_read(&c, 1))
		len = len * 10 + (size_t)(c - '0');
	if (len == 0 || len > SETTINGS_MAX)
		fail("settings of %zu bytes", len);
	char *text = malloc(len);
	if (!text)
		fail("out of memory");
	control_read(text, len);
	text[len - 1] = 0;
	for (char *p = text, *next; p < text + len; p = next) {
		char *value = strchr(p, '=');
		next = p + strlen(p) + 1;
		if (!value)
			fail("bad setting: %s", p);
		*value++ = 0;
		if (!strcmp(p, "arg") && settings.argc < MAX_ARGS)
			settings.argv[settings.argc++] = value;
		else if (!strcmp(p, "env"))
			putenv(value);
		else if (!strcmp(p, "share"))
			mount_share(value);
		else if (!strcmp(p, "cwd"))
			settings.cwd = value;
		else if (!strcmp(p, "tty"))
			settings.tty = *value == '1';
		else if (!strcmp(p, "input"))
			settings.input = *value == '1';
		else
			fail("unknown setting %s", p);
	}
	if (!settings.argc)
		fail("no command");
}

static _Noreturn void run_command(int in, int out, int err, const char *tty)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 65536, 524288 });
	setsid();
	if (tty) {
		in = out = err = open(tty, O_RDWR);
		ioctl(in, TIOCSCTTY, 0);
	}
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(125);
	closefrom(3);
	if (settings.cwd && chdir(settings.cwd) < 0) {
		fprintf(stderr, "test host: %s: %s\n", settings.cwd, strerror(errno));
		_exit(125);
	}
	execvp(settings.argv[0], settings.argv);
	fprintf(stderr, "test host: %s: %s\n", settings.argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

static void pump_close(struct pump *p)
{
	if (p->in >= 0)
		close(p->in);
	p->in = -1;
	if (p->own_out && p->out >= 0) {
		close(p->out);
		p->out = -1;
	}
}

/* One step after poll; true when bytes moved. */
static bool pump_step(struct pump *p, bool readable, bool writable)
{
	if (readable && p->in >= 0 && p->len == 0) {
		ssize_t n = read(p->in, p->buf, sizeof p->buf);
		if (n > 0) {
			p->off = 0;
			p->len = (size_t)n;
			return true;
		}
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			pump_close(p);
	} else if (writable && p->len) {
		ssize_t n = write(p->out, p->buf + p->off, p->len);
		if (n > 0) {
			p->off += (size_t)n;
			p->len -= (size_t)n;
			return true;
		}
		if (n < 0 && errno != EAGAIN && errno != EINTR) { // the reader has gone
			p->len = 0;
			pump_close(p);
		}
	}
	return false;
}

static void control_line(char *line, pid_t command, int master)
{
	int a, b;
	if (sscanf(line, "winch %d %d", &a, &b) == 2 && master >= 0) {
		struct winsize size = { .ws_row = (unsigned short)a, .ws_col = (unsigned short)b };
		ioctl(master, TIOCSWINSZ, &size);
	} else if (sscanf(line, "signal %d", &a) == 1 && command > 0) {
		kill(command, a);
	}
}

static void control_readable(pid_t command, int master)
{
	static char line[128];
	static size_t len;
	char c;
	while (read(control, &c, 1) == 1) {
		if (c == '\n' || len == sizeof line - 1) {
			line[len] = 0;
			control_line(line, command, master);
			len = 0;
		} else {
			line[len++] = c;
		}
	}
}

static void pipe_make(int *reader, int *writer)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		fail("pipe: %s", strerror(errno));
	*reader = fds[0];
	*writer = fds[1];
}

int main(void)
{
	static struct pump in = { .in = -1, .out = -1 }, out = { .in = -1, .out = -1 },
			   err = { .in = -1, .out = -1 };
	int child_in = -1, child_out = -1, child_err = -1, master = -1;
	char tty[64] = "";

	sigset_t mask;
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN);
	int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);

	control = port_open(1);
	out.out = port_open(3);
	err.out = port_open(4);
	read_settings();

	if (settings.tty) {
		int slave;
		if (openpty(&master, &slave, tty, NULL, NULL) < 0)
			fail("openpty: %s", strerror(errno));
		fcntl(master, F_SETFD, FD_CLOEXEC);
		fcntl(master, F_SETFL, O_NONBLOCK);
		child_in = child_out = child_err = slave; // held until the command has its own
		out.in = master;
		in.out = dup(master);
	} else {
		pipe_make(&out.in, &child_out);
		pipe_make(&err.in, &child_err);
		if (settings.input) {
			pipe_make(&child_in, &in.out);
			fcntl(in.out, F_SETFL, O_NONBLOCK);
			in.own_out = true;
		} else {
			child_in = open("/dev/null", O_RDONLY | O_CLOEXEC);
		}
	}
	if (settings.tty || settings.input)
		in.in = port_open(2);

	control_say("running\n");
	pid_t command = fork();
	if (command < 0)
		fail("fork: %s", strerror(errno));
	if (command == 0)
		run_command(child_in, child_out, child_err, settings.tty ? tty : NULL);
	if (settings.tty) {
		usleep(20000); // keep the slave side open until the command has it
		close(child_in);
	} else {
		close(child_in);
		close(child_out);
		close(child_err);
	}

	int status = -1;
	bool killed = false;
	long ended = 0, moved = 0;
	struct pump *const pumps[] = { &in, &out, &err };
	for (;;) {
		if (status >= 0) {
			bool drained = out.in < 0 && !out.len && err.in < 0 && !err.len;
			long t = now_ms();
			if (drained || t - ended > DRAIN_MS)
				break;
			if (!killed && t - moved > IDLE_MS && !out.len && !err.len) {
				kill(-1, SIGKILL); // what still holds the streams is a leftover
				killed = true;
				if (settings.tty)
					break;
			}
		}
		struct pollfd fds[2 + 2 * 3];
		fds[0] = (struct pollfd){ .fd = signals, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = control, .events = POLLIN };
		for (size_t i = 0; i < 3; i++) {
			struct pump *p = pumps[i];
			fds[2 + 2 * i] =
				(struct pollfd){ .fd = p->len ? -1 : p->in, .events = POLLIN };
			fds[3 + 2 * i] =
				(struct pollfd){ .fd = p->len ? p->out : -1, .events = POLLOUT };
		}
		if (poll(fds, 8, status >= 0 ? 50 : -1) < 0 && errno != EINTR)
			fail("poll: %s", strerror(errno));
		if (fds[0].revents) {
			struct signalfd_siginfo info;
			while (read(signals, &info, sizeof info) > 0)
				;
			int s;
			for (pid_t pid; (pid = waitpid(-1, &s, WNOHANG)) > 0;) {
				if (pid != command)
					continue;
				status = WIFSIGNALED(s) ? 128 + WTERMSIG(s) : WEXITSTATUS(s);
				ended = moved = now_ms();
				command = -1;
			}
		}
		if (fds[1].revents & POLLIN)
			control_readable(command, master);
		for (size_t i = 0; i < 3; i++)
			if (pump_step(pumps[i], fds[2 + 2 * i].revents, fds[3 + 2 * i].revents))
				moved = now_ms();
	}

	wait_for(out.out, POLLOUT);
	wait_for(err.out, POLLOUT);
	kill(-1, SIGKILL);
	umount2("/mnt/results", 0);
	char line[32];
	snprintf(line, sizeof line, "exit %d\n", status);
	control_say(line);
	power_off();
}
