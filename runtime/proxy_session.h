/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_session.h - the life of one container process as its proxy sees it.
 *
 *   CONNECTING -opened-> GREETING -greeted-> WAITING -go-> MAKING -made-> ATTACHING -attached-> HANDING_OVER
 *        |                  |                   |            |                |                    | done
 *        +------------------+--- anything wrong: LOSING -----+----------------+                    v
 *                                    |  monitor gone                         STOPPING <- DRAINING <- RUNNING
 *                                    v                                          | monitor gone   drained  | ended
 *                                  FAILED                                     ENDED
 *
 * Up to HANDING_OVER the command that started the proxy waits at the other end of the sync socket (runtime/sync.h), is
 * told of any failure, and takes everything down with it if it dies. From RUNNING on the proxy is on its own: it ends
 * as the process ends, or by SIGKILL if the VM is lost. The proxy of an exec, or of a container in its pod's
 * VM, has no monitor of its own: it knows the VM's end by its connection's, and its ways into LOSING and STOPPING lead
 * straight out.
 */
#ifndef BULKHEAD_RUNTIME_PROXY_SESSION_H
#define BULKHEAD_RUNTIME_PROXY_SESSION_H

#include <stdbool.h>

struct err;
struct monitor;

struct session_settings {
	const char *container;
	const char *exec; /* "" for the container's first process */
	bool adopts;      /* the container exists already: ADOPT instead of CREATE */
	int state_fd;     /* the state directory */
	int request_fd;   /* a file with the payload of CREATE, EXEC or ADOPT */
	int sync_fd;
	int terminal_fd;         /* -1: plain streams */
	int preserved_fds;       /* descriptors from 3 on, of the process */
	int notify_fd;           /* where what it tells sd_notify(3) goes; -1: nowhere */
	int root_fd;             /* see runtime/proxy_root.h; -1: an empty one */
	bool leaves_mounts;      /* for that root; false: stays on the host's */
	int last_words_fd;       /* gets the reason when the VM is lost, see runtime/last_words.h; -1: nobody asks */
	struct monitor *monitor; /* NULL: an exec, or a member of a pod */
	/* With a monitor: keep the VM's network like that of our namespace, see runtime/net_watch.h. */
	bool watches_network, use_vhost;
	int resolv_fd;
};

/* Runs to the end. Returns the status as wait(2) reports it, or -1 if the process never was (already reported). */
int session_run(const struct session_settings *settings, struct err *err);

/* Afterwards: the directory of exec's records, where the state directory cannot be written to any more; else -1. */
int session_records_fd(void);

/* And whether the guest's kernel had killed of the container what used too much memory. */
bool session_was_out_of_memory(void);

#endif
