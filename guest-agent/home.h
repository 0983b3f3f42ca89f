/* SPDX-License-Identifier: Apache-2.0 */
/*
 * home.h - the home directory of a user, from the container's own /etc/passwd.
 *
 * Engines leave HOME to the runtime. The file is the image's: read as the process's user, to a bounded length.
 */
#ifndef BULKHEAD_AGENT_HOME_H
#define BULKHEAD_AGENT_HOME_H

#include <limits.h>
#include <stddef.h>

/* "/" if the user is not there. */
void home_of(unsigned uid, char out[PATH_MAX]);

/* The same from the text of a passwd file. For tests. */
void home_in_text(const char *text, unsigned uid, char out[PATH_MAX]);

#endif
