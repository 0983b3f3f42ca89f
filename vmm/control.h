/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.h - the control socket (vmm_api.h): answers those who may connect to it, one packet for one packet.
 *
 * The socket's permissions say who may connect; still, a peer cannot do more than its requests say: packets of a wrong
 * length, unknown operations and unterminated names are refused, descriptors nobody asked for are closed. All on the
 * loop thread.
 */
#ifndef BULKHEAD_CONTROL_H
#define BULKHEAD_CONTROL_H

#include "vmm/vmm_api.h"

#include <stdbool.h>

struct control;
struct err;
struct loop;

/* What the operations do. Each returns 0, or -1 with the error set, which goes to the peer. */
struct control_ops {
	int (*pause)(void *arg, struct err *err);
	int (*resume)(void *arg, struct err *err);
	void (*stats)(void *arg, struct vmm_stats *out, struct vmm_details *details);
	int (*add_share)(void *arg, const char *name, int fd /* taken */, bool read_only, struct err *err);
	int (*remove_share)(void *arg, const char *name, struct err *err);
	/* Takes what it sets to -1 of the two descriptors. */
	int (*add_net)(void *arg, const char *name, uint64_t key, const uint8_t mac[6], int *tap_fd, int *vhost_fd,
		       struct vmm_place *place, struct err *err);
	int (*find_net)(void *arg, uint64_t key, struct vmm_place *place, struct err *err);
	int (*remove_net)(void *arg, uint64_t key, struct err *err);
	int (*add_disk)(void *arg, const char *id, const struct vmm_disk *disk, int fd /* taken */,
			struct vmm_place *place, struct err *err);
	int (*find_disk)(void *arg, const char *id, struct vmm_place *place, struct err *err);
	int (*remove_disk)(void *arg, const char *id, struct err *err);
	int (*resize)(void *arg, uint64_t bytes, struct vmm_place *place, struct vmm_growth *growth, struct err *err);
	int (*checkpoint)(void *arg, int memory_fd, int state_fd, struct err *err); /* both stay the caller's */
	int (*kill)(void *arg, struct err *err);                                    /* the reply is sent first */
};

/* Takes `listen_fd`, a listening SOCK_SEQPACKET socket. NULL with the error set. */
struct control *control_create(struct loop *loop, int listen_fd, const struct control_ops *ops, void *arg,
			       struct err *err);
void control_destroy(struct control *control); /* before the loop; NULL is fine */

#endif
