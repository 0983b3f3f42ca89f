/* SPDX-License-Identifier: Apache-2.0 */
/*
 * terminal.h - the host's side of a container's terminal.
 *
 * The line discipline lives in the guest. The host's pair is a pipe in the shape of a terminal: it exists because
 * engines want a master to read, write and resize. So it is in raw mode before anyone gets the master.
 */
#ifndef BULKHEAD_RUNTIME_TERMINAL_H
#define BULKHEAD_RUNTIME_TERMINAL_H

#include <stdbool.h>
#include <sys/ioctl.h>

struct err;

enum { TERMINAL_NAME_MAX = 64 };

struct terminal {
	int master, slave; /* -1: none */
	char name[TERMINAL_NAME_MAX];
};

int terminal_open(struct terminal *terminal, struct err *err);
void terminal_close(struct terminal *terminal);

/* Sends the master over the Unix stream socket at `path`, as engines expect it: one fd, and its name as the payload. */
int terminal_send(const struct terminal *terminal, const char *path, struct err *err);

/* Any one fd, the same way (--pidfd-socket). `option` names the option in errors. */
int terminal_send_fd(int fd, const char *payload, const char *path, const char *option, struct err *err);

/* The size of a terminal, false if it has none. */
bool terminal_get_size(int fd, struct winsize *size);

/*
 * For a command in the foreground: the terminal in the guest begins with the size of the user's. Where output is no
 * terminal it has no carriage returns either, so that a file or a pipe gets the lines as they were written (runc).
 */
struct oci_process;
void terminal_follow_user(struct oci_process *process);
void terminal_set_size(int fd, unsigned rows, unsigned columns);

/*
 * The user's own terminal in raw mode, and back: terminal_restore_user is safe to call at any time, any number of
 * times, and runs at exit. Returns -1 with errno if `fd` is not a terminal.
 */
int terminal_make_user_raw(int fd);
void terminal_restore_user(void);

#endif
