/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - one line per event, for people and engines. Never to standard output.
 *
 * error: what you asked did not happen. warn: odd, continuing. info: rare, worth keeping. debug: always compiled in.
 * Thread-safe: one write(2) a line. errno survives a call. Until log_open, lines of level info and above go to
 * standard error. Text that came from the guest goes through log_guest, which marks, escapes and limits it.
 */
#ifndef BULKHEAD_LOG_H
#define BULKHEAD_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVEL_COUNT };
enum log_format { LOG_TEXT, LOG_JSON };

/*
 * Sends lines to `fd` (which the logger does not own) in `format`, up to `level`. `program` prefixes text lines and
 * must outlive the logger.
 */
void log_setup(const char *program, int fd, enum log_format format, enum log_level level);

/* error, warn, info or debug; false for any other name. */
const char *log_level_name(enum log_level level);
bool log_level_parse(const char *name, enum log_level *out);

bool log_is_enabled(enum log_level level);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One line at `level`: `what`, then the guest's bytes in quotes, non-printing ones as \xNN, at most 512 of them. */
void log_guest(enum log_level level, const char *what, const void *text, size_t length);

/*
 * For complaints the guest can provoke at will: true at most `burst` times a second for this counter, and
 * LOG_LIMIT_BURSTS times that in all: the log is a file in memory, as /run is, and a guest has weeks. Zero-initialise
 * the struct. Not thread-safe: one per device and thread.
 */
enum { LOG_LIMIT_BURSTS = 400 };

struct log_limit {
	long second;
	unsigned seen;
	unsigned long allowed;
	unsigned long dropped;
};
bool log_limit_allows(struct log_limit *limit, unsigned burst);

#endif
