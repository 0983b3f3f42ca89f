/* SPDX-License-Identifier: Apache-2.0 */
/* pid_file.h - --pid-file: written last, whole or not at all, and without a newline: its presence means success. */
#ifndef BULKHEAD_RUNTIME_PID_FILE_H
#define BULKHEAD_RUNTIME_PID_FILE_H

#include <sys/types.h>

struct err;

int pid_file_write(const char *path, pid_t pid, struct err *err);

#endif
