/* SPDX-License-Identifier: Apache-2.0 */
/* control_client.h - one request to the monitor of a container (vmm/vmm_api.h), with a time limit. */
#ifndef BULKHEAD_RUNTIME_CONTROL_CLIENT_H
#define BULKHEAD_RUNTIME_CONTROL_CLIENT_H

#include "vmm/vmm_api.h"

#include <stdbool.h>

struct err;

/* `reply` may be NULL. */
int control_call(int dirfd, enum vmm_control_op op, struct vmm_control_reply *reply, struct err *err);

/* A share, served through `fd`, which stays the caller's too; code EEXIST: the VM has one of that name. */
int control_add_share(int dirfd, const char *name, int fd, bool readonly, struct err *err);
int control_remove_share(int dirfd, const char *name, struct err *err);

/*
 * A network interface for the VM, number `index` in its namespace, served through these descriptors (vhost_fd -1:
 * none), which stay the caller's too.
 */
int control_add_net(int dirfd, const char *name, int index, const uint8_t mac[6], int tap_fd, int vhost_fd,
		    struct vmm_place *place, struct err *err);

/*
 * A disk, served through `fd`, which stays the caller's too; code EEXIST: the VM has one of that name. `packed` is a
 * struct vmm_disk. Finding one that is not there: ENOENT.
 */
int control_add_disk(int dirfd, const char *id, int fd, uint64_t packed, struct vmm_place *place, struct err *err);
int control_find_disk(int dirfd, const char *id, struct vmm_place *place, struct err *err);
int control_remove_disk(int dirfd, const char *id, struct err *err);

/* VMM_CONTROL_RESIZE; `bytes` 0 only asks. */
int control_resize(int dirfd, uint64_t bytes, struct vmm_place *place, struct vmm_growth *growth, struct err *err);

/* Whether the VM has the interface. */
bool control_has_net(int dirfd, int index);

/* A checkpoint of the VM into these two empty files, which stay the caller's; takes as long as writing its memory. */
int control_checkpoint(int dirfd, int memory_fd, int state_fd, struct err *err);

/* For callers with a connection of their own that do not wait: the descriptors are as many as come before a -1. */
enum { CONTROL_FDS_MAX = 2 };

struct vmm_control_request control_net_request(const char *name, int index, const uint8_t mac[6]);
int control_send(int socket, const struct vmm_control_request *request, const int fds[CONTROL_FDS_MAX]);

/* 0, or -1 with errno: ECONNRESET for a packet that is no reply. What an older monitor does not send is zero. */
int control_receive(int socket, int flags, struct vmm_control_reply *reply);
int control_check(struct vmm_control_reply *reply, struct err *err); /* the reply's error becomes ours */

#endif
