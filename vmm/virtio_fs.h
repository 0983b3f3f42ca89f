/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_fs.h - the shared file system: a virtio device before the FUSE server (fs_server.h).
 *
 * The device owns the server and a pool of file threads, since file work blocks. virtio_fs_start makes the first
 * thread, which makes further ones when there is more to do than threads; they have its credentials, namespaces and
 * seccomp filter. Without a call, activation makes the first, on the vCPU's thread.
 *
 * Shares may be added and removed at any time by any thread.
 */
#ifndef BULKHEAD_VIRTIO_FS_H
#define BULKHEAD_VIRTIO_FS_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct fs_caching;
struct fs_window;
struct snapshot;
struct snapshot_writer;
struct virtio_device;

enum { VIRTIO_FS_WORKERS_DEFAULT = 4, VIRTIO_FS_WORKERS_MAX = 32 };

/*
 * `tag` is what the guest mounts by, at most 36 bytes. `workers` is the largest number of file threads. `caching`
 * (fs_server.h) says how long the guest goes by what it knows. `proc_fd` as for fs_server_create.
 */
struct virtio_device *virtio_fs_create(const char *tag, unsigned workers, const struct fs_caching *caching, int proc_fd,
				       struct err *err);

/*
 * Gives it a DAX window, which the guest finds at `address`: before it is on a bus. The window stays the caller's and
 * outlives the device.
 */
void virtio_fs_set_window(struct virtio_device *device, struct fs_window *window, uint64_t address);

/* `confine` is what the first thread calls before it serves anything; if that fails, so does the device. */
int virtio_fs_start(struct virtio_device *device, int (*confine)(struct err *err), struct err *err);

/*
 * Has one of the threads call the function, when it has the time: as the only ones they may start threads, which have
 * their filter then. The result is not waited for. The loop thread; before virtio_fs_start it waits for that.
 */
int virtio_fs_call(struct virtio_device *device, void (*function)(void *arg), void *arg, struct err *err);

/* `fd`, taken also on failure, is a directory or a regular file: the root of a detached mount, O_PATH is enough. */
int virtio_fs_add_share(struct virtio_device *device, const char *name, int fd, bool read_only, struct err *err);

/* No new look-ups; what is open goes on. */
int virtio_fs_remove_share(struct virtio_device *device, const char *name, struct err *err);

/* What was agreed on in INIT. */
struct fs_saved {
	uint32_t minor; /* 0: no INIT yet */
	uint8_t openless, write_back, maps, reserved;
};

/*
 * Waits until no request is under way. Fails if that takes long, or if the guest is to be `untouched` and knows a file
 * by now. No vCPU runs. Whatever comes of it, no request is begun until virtio_fs_go_on.
 */
int virtio_fs_save(struct virtio_device *device, bool untouched, struct fs_saved *out, struct err *err);

void virtio_fs_go_on(struct virtio_device *device);

/* This process's pagemap, by the way to open files: -1 with errno. */
int virtio_fs_open_pagemap(struct virtio_device *device);

/* After it: what the guest knows of the shares, see fs_tables.h. */
int virtio_fs_save_tables(struct virtio_device *device, struct snapshot_writer *writer, int fd, uint64_t *end,
			  struct err *err);

/* Into a device that no driver has seen. */
int virtio_fs_restore(struct virtio_device *device, const struct fs_saved *saved, struct err *err);

/* When the shares are there. */
int virtio_fs_restore_tables(struct virtio_device *device, const struct snapshot *snapshot, int fd,
			     bool changes_accepted, struct err *err);

#endif
