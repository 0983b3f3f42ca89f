/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start_proxy.h - a command's dealings with the proxy it starts (runtime/sync.h says in what order).
 */
#ifndef BULKHEAD_RUNTIME_START_PROXY_H
#define BULKHEAD_RUNTIME_START_PROXY_H

#include "runtime/sync.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct err;
struct globals;

struct start_proxy {
	const struct globals *globals;
	const char *program;
	const char *container;
	const char *selinux_label; /* with a monitor: its context; NULL: none */
	const char *exec;          /* NULL: the container's first process */
	bool adopts;               /* the container exists already, in a VM that continues */
	int state_fd, request_fd;
	int terminal_fd;   /* the slave, -1: none */
	int log_fd;        /* where the proxy logs */
	int root_fd;       /* see runtime/proxy_root.h; -1: none */
	int last_words_fd; /* see runtime/last_words.h; -1: none */
	int notify_fd;     /* see runtime/notify_socket.h; -1: none */
	int preserved_fds; /* how many descriptors from 3 on the process gets, see runtime/preserved_fds.h */
	/* The monitor's program and arguments, NULL-terminated, and what it inherits; NULL: no VM is started. */
	char **monitor_arguments;
	const int *monitor_fds;
	size_t monitor_fd_count;
	int cgroup_fd, network_fd;
	bool watches_network, use_vhost; /* with a monitor */
	int resolv_fd;                   /* then: see runtime/nameservers.h; -1: none */
	bool new_network;
	bool has_oom_score_adj;
	int oom_score_adj;
};

/* Returns the pid; *sync_fd is our end. */
pid_t start_proxy(const struct start_proxy *start, int *sync_fd, struct err *err);

/*
 * Waits until the proxy says `kind`. Its failure, its end, and an interrupt are errors. Stamps go to the trace on the
 * way.
 */
int start_proxy_await(int sync_fd, enum sync_kind kind, struct sync_message *message, struct err *err);

int start_proxy_tell(int sync_fd, enum sync_kind kind, struct err *err);

/* A file in memory with `data`, for request_fd. */
int start_proxy_request_fd(const void *data, size_t length, struct err *err);

/* Kills and reaps a proxy that is our child. */
void start_proxy_kill(pid_t pid);

#endif
