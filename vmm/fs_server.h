/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_server.h - the FUSE server: one per virtio-fs device. Requests come as lists of guest memory segments, replies go
 * to others; it knows nothing of queues.
 *
 * Each thread that handles requests has a struct fs_worker, made by that thread. fs_worker_handle may run in any
 * number of threads at once; so may adding and removing shares. Locks: one inside each table (fs_shares, fs_nodes,
 * fs_handles) and one in each directory handle. A table's lock is held for a few instructions, with no other lock
 * taken and no call to the host's file systems made meanwhile; only a directory handle's lock is held over both.
 *
 * Where things are:
 *
 *     fs_server.c    the table of operations, checks, dispatch: every request gets exactly one reply
 *     fs_request.h   a request on its way through; what handlers may use
 *     fs_init.c      INIT, DESTROY      fs_name.c   LOOKUP, FORGET and all that makes or removes a name
 *     fs_attr.c      GETATTR, STATX, SETATTR, STATFS, READLINK      fs_open.c   OPEN, CREATE, RELEASE, FSYNC ...
 *     fs_file.c      the file behind a handle, or without one
 *     fs_io.c        READ, WRITE, LSEEK, FALLOCATE, COPY_FILE_RANGE      fs_dir.c   READDIR, READDIRPLUS ...
 *     fs_xattr.c     extended attributes      fs_map.c   SETUPMAPPING, REMOVEMAPPING
 *     fs_shares.h, fs_nodes.h, fs_handles.h, fs_ids.h, fs_devices.h   the tables      fs_window.h   the DAX window
 *     fs_creds.h     in whose name a thread acts
 */
#ifndef BULKHEAD_FS_SERVER_H
#define BULKHEAD_FS_SERVER_H

#include "vmm/fs_creds.h"
#include "vmm/fs_devices.h"
#include "vmm/fs_handles.h"
#include "vmm/fs_nodes.h"
#include "vmm/fs_shares.h"
#include "vmm/fs_window.h"

#include "common/log.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct err;

/* How long the guest may go by what it knows without asking again: docs/files.md. */
struct fs_caching {
	uint64_t name_ns;    /* a name that exists */
	uint64_t absence_ns; /* a name that does not */
	uint64_t attr_ns;
	bool keep_data;  /* pages survive a re-open while size and mtime stay as they were; else none are kept at all */
	bool write_back; /* the guest writes pages late, and is master of a file's size and times until then */
};

/* The modes by name: "none", "auto" and "always"; NULL: no such mode. */
const struct fs_caching *fs_caching_find(const char *name);
extern const struct fs_caching fs_caching_auto;

struct fs_limits {
	uint32_t nodes, handles;
};

struct fs_server {
	struct fs_shares shares;
	struct fs_nodes nodes;
	struct fs_handles handles;
	struct fs_devices devices;
	struct fs_caching caching;
	int proc_fd;              /* /proc/self/fd: a node's own file is opened through it, by number, never by path */
	atomic_bool openless;     /* OPEN and FLUSH are not needed, and handle 0 is every file's: fs_file.c */
	atomic_bool write_back;   /* agreed on in INIT */
	struct fs_window *window; /* NULL: none; not owned, see fs_server_set_window */
	atomic_bool maps;         /* agreed on in INIT: the guest uses the window */
	_Atomic uint32_t minor;   /* of the protocol, once INIT was answered; 0 before */
	atomic_ulong *refused;    /* counts malformed requests; the device may put its own counter here */
	atomic_ulong refused_here;
};

/*
 * Raises this process's soft limit of open files to the hard one and derives from it how many objects a guest may
 * have us hold. A part is left for the rest of the monitor.
 */
struct fs_limits fs_limits_take(void);

/* `proc_fd`, taken also on failure, is /proc/self/fd (O_PATH) of a proc that stays usable; -1: the one mounted on
 * /proc. */
struct fs_server *fs_server_create(struct fs_limits limits, int proc_fd, struct err *err);
void fs_server_destroy(struct fs_server *server); /* NULL is fine; no worker exists any more */

/* Before the first request. `window` has to outlive the server. */
void fs_server_set_window(struct fs_server *server, struct fs_window *window);

/* Forgets nodes and handles: the guest's driver went away. Shares stay. */
void fs_server_reset(struct fs_server *server);

/* What the host listed of a directory and no reply had room for yet: entries as getdents64(2) gives them. */
struct fs_entries_ahead {
	uint8_t *data; /* FS_ENTRIES_MAX bytes */
	size_t at, end;
	uint64_t handle; /* of the directory: its id, which no other handle ever has; 0: nothing was listed yet */
	int64_t offset;  /* in the directory, of the entry at `at` */
};

struct fs_worker {
	struct fs_server *server;
	struct fs_creds creds;
	struct log_limit complaints;
	bool is_awaited;  /* somebody in the guest may wait for what fs_worker_handle did last */
	uint8_t *args;    /* FS_ARGS_MAX bytes and a final 0 */
	uint8_t *scratch; /* FS_REPLY_MAX bytes, for replies put together here and what they are made of */
	uint8_t *listing; /* FS_REPLY_MAX bytes, for what the host answers */
	struct fs_entries_ahead ahead;
};

/* Both in the thread that uses it: its working directory and umask become its own and change. */
int fs_worker_init(struct fs_worker *worker, struct fs_server *server, struct err *err);
void fs_worker_fini(struct fs_worker *worker);

/* A list of guest memory segments, and their total length. */
struct fs_segments {
	const struct iovec *iov;
	unsigned count;
	size_t length;
};

/*
 * Reads one request from `in`, does it, writes the reply to `out`. Returns the number of bytes written to `out`: 0 for
 * the operations that have no reply, and for requests that no reply can be given to.
 */
uint32_t fs_worker_handle(struct fs_worker *worker, struct fs_segments in, struct fs_segments out);

#endif
