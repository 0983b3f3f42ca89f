/* SPDX-License-Identifier: Apache-2.0 */
/*
 * last_words.h - why a pod's VM was lost, told where someone will look for it.
 *
 * The sandbox's proxy watches the monitor and knows; it writes the reason to a file of its state directory, of which
 * each member has a hard link, so that it outlives both directories. A member's proxy reads it there, and adds it to
 * the file that Kubernetes mounts at /dev/termination-log: the kubelet makes it the message of the container's status.
 */
#ifndef BULKHEAD_RUNTIME_LAST_WORDS_H
#define BULKHEAD_RUNTIME_LAST_WORDS_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct oci_config;

/* An empty one, of a sandbox. */
int last_words_make(int dirfd, struct err *err);

/* The host's file for the container's own last words, open for appending; -1: it has none. */
int last_words_open_log(const struct oci_config *config);
/* One line for that file; nothing if there is none. */
void last_words_log(int fd, const char *why);

/* Whether the directory's container is, or was, one of several in its VM: of a pod, or joined by a neighbour. */
bool last_words_exist(int dirfd);

/* The file itself, for who cannot write to the directory any more; -1: in no pod. */
int last_words_open(int dirfd);
void last_words_write(int fd, const char *why);

/* One line without control characters. False: nobody has said anything. */
bool last_words_read(int dirfd, char *out, size_t size);

#endif
