/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err.h - why something the user asked for did not happen.
 *
 * A function that can fail takes a `struct err *` and returns 0, or -1 with the error set. The value is the
 * caller's, of fixed size: nothing to free, nothing left uninitialised by ERR_INIT. The text is set where the failure
 * happens (err_set), wrapped where context is known (err_wrap), printed once, in main. It names the object and, when
 * known, the remedy. Not for bytes from the guest: those put a device or a connection in a failed state (log.h).
 */
#ifndef BULKHEAD_ERR_H
#define BULKHEAD_ERR_H

#define ERR_TEXT_MAX 1024

struct err {
	int code;                /* an errno value, never 0 once set */
	char text[ERR_TEXT_MAX]; /* one line, no trailing newline */
};

/* clang-format off */
#define ERR_INIT { 0 }
/* clang-format on */

/* Sets code and text. Returns -1, so that `return err_set(...)` reads well. A code of 0 is stored as EIO. */
int err_set(struct err *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Like err_set with errno as the code and ": strerror(errno)" appended. */
int err_set_errno(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "text: " before the text that is there. Returns -1. The code stays. */
int err_wrap(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
