/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_attr.h - what the host says of a file, in the guest's terms.
 */
#ifndef BULKHEAD_FS_ATTR_H
#define BULKHEAD_FS_ATTR_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct fs_node;
struct fs_server;
struct fuse_attr;

/* The id of the mount that the object behind `fd` was found through. 0, or -1 with errno. */
int fs_attr_mount(int fd, uint64_t *mount);

/* `flags`: FUSE_ATTR_SUBMOUNT, FUSE_ATTR_DAX; `salt`: fs_devices.h. */
void fs_attr_fill(struct fuse_attr *attr, const struct stat *st, uint32_t flags, uint64_t salt);

/* The attributes of a node, the synthetic root included. 0 or an errno value. */
int fs_attr_of_node(const struct fs_server *server, const struct fs_node *node, struct fuse_attr *attr);

/* Nanoseconds as the protocol has them. */
void fs_attr_validity(uint64_t ns, uint64_t *seconds, uint32_t *nanoseconds);

#endif
