/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copyup.h - a copy of a directory's tree in another: what a tmpfs with `tmpcopyup` begins with.
 *
 * Directories, files, links and device nodes with owner, mode and times; no extended attributes, no hard links. Names
 * are taken relative to directories that are open, and links are copied, not followed.
 */
#ifndef BULKHEAD_AGENT_COPYUP_H
#define BULKHEAD_AGENT_COPYUP_H

struct err;

int copyup_directory(int from_fd, int to_fd, struct err *err);

#endif
