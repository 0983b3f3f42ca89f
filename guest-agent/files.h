/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files.h - small files of /proc and the cgroup tree: a value in one write, a value in one read.
 */
#ifndef BULKHEAD_AGENT_FILES_H
#define BULKHEAD_AGENT_FILES_H

#include <stddef.h>
#include <sys/types.h>

/* One write(2) of the whole value. 0, or -1 with errno. */
int file_write_at(int dir_fd, const char *path, const char *value);

/* Reads up to size - 1 bytes and ends them with a zero. The length, or -1 with errno. */
ssize_t file_read_at(int dir_fd, const char *path, char *out, size_t size);

/* A whole file of unknown length, at most `limit` bytes, allocated, ended with a zero. NULL with errno. */
char *file_read_all(int fd, size_t limit, size_t *length);

#endif
