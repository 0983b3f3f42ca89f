/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log.h"

#include "common/utc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096, GUEST_TEXT_MAX = 512, JSON_TAIL = 64 };

static struct {
	const char *program;
	int fd;
	enum log_format format;
	enum log_level level;
} logger = { "bulkhead", 2, LOG_TEXT, LOG_INFO };

static const char *const level_names[LOG_LEVEL_COUNT] = {
	[LOG_ERROR] = "error",
	[LOG_WARN] = "warning",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

/* What users write and read; a line's own "warning" is what engines know. */
static const char *const setting_names[LOG_LEVEL_COUNT] = {
	[LOG_ERROR] = "error",
	[LOG_WARN] = "warn",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

const char *log_level_name(enum log_level level)
{
	return setting_names[level];
}

bool log_level_parse(const char *name, enum log_level *out)
{
	for (int level = 0; level < LOG_LEVEL_COUNT; level++) {
		if (strcmp(name, setting_names[level]) == 0) {
			*out = (enum log_level)level;
			return true;
		}
	}
	return false;
}

void log_setup(const char *program, int fd, enum log_format format, enum log_level level)
{
	logger.program = program;
	logger.fd = fd;
	logger.format = format;
	logger.level = level;
}

bool log_is_enabled(enum log_level level)
{
	return logger.fd >= 0 && level <= logger.level;
}

/*
 * Appends `text` as the inside of a JSON string, as much of it as leaves JSON_TAIL bytes: an escape is never cut.
 * Returns the new length.
 */
static size_t append_json(char *line, size_t used, const char *text)
{
	for (; *text && used < LINE_MAX_BYTES - JSON_TAIL - 6; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\') {
			line[used++] = '\\';
			line[used++] = (char)c;
		} else if (c < 0x20 || c == 0x7f) {
			used += (size_t)snprintf(line + used, 8, "\\u%04x", c);
		} else {
			line[used++] = (char)c;
		}
	}
	return used;
}

static void write_line(enum log_level level, const char *message)
{
	char line[LINE_MAX_BYTES];
	size_t used;

	if (logger.format == LOG_JSON) {
		struct timespec now;
		char when[UTC_TEXT_SIZE];

		clock_gettime(CLOCK_REALTIME, &now);
		utc_text(now.tv_sec, when);
		used = (size_t)snprintf(line, sizeof line, "{\"level\":\"%s\",\"msg\":\"", level_names[level]);
		used = append_json(line, used, message);
		used += (size_t)snprintf(line + used, sizeof line - used, "\",\"time\":\"%sZ\"}\n", when);
	} else {
		int n = snprintf(line, sizeof line - 1, "%s: %s%s%s", logger.program,
				 level == LOG_ERROR ? "" : level_names[level], level == LOG_ERROR ? "" : ": ", message);

		used = n < 0 ? 0 : (size_t)n < sizeof line - 1 ? (size_t)n : sizeof line - 2;
		line[used++] = '\n';
	}
	for (size_t done = 0; done < used;) {
		ssize_t n = write(logger.fd, line + done, used - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
}

static void log_v(enum log_level level, const char *format, va_list args)
{
	char message[LINE_MAX_BYTES - 256];
	int saved = errno;

	if (log_is_enabled(level)) {
		if (vsnprintf(message, sizeof message, format, args) < 0)
			message[0] = '\0';
		write_line(level, message);
	}
	errno = saved;
}

#define DEFINE_LEVEL(name, level)           \
	void name(const char *format, ...)  \
	{                                   \
		va_list args;               \
		va_start(args, format);     \
		log_v(level, format, args); \
		va_end(args);               \
	}

DEFINE_LEVEL(log_error, LOG_ERROR)
DEFINE_LEVEL(log_warn, LOG_WARN)
DEFINE_LEVEL(log_info, LOG_INFO)
DEFINE_LEVEL(log_debug, LOG_DEBUG)

void log_guest(enum log_level level, const char *what, const void *text, size_t length)
{
	char escaped[GUEST_TEXT_MAX * 4 + 8];
	const unsigned char *bytes = text;
	size_t used = 0;
	int saved = errno;

	if (!log_is_enabled(level))
		return;
	for (size_t i = 0; i < length && i < GUEST_TEXT_MAX; i++) {
		if (bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '"' && bytes[i] != '\\')
			escaped[used++] = (char)bytes[i];
		else
			used += (size_t)snprintf(escaped + used, 5, "\\x%02x", bytes[i]);
	}
	snprintf(escaped + used, 4, "%s", length > GUEST_TEXT_MAX ? "..." : "");
	char message[LINE_MAX_BYTES - 256];
	snprintf(message, sizeof message, "%s: guest says \"%s\"", what, escaped);
	write_line(level, message);
	errno = saved;
}

bool log_limit_allows(struct log_limit *limit, unsigned burst)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec != limit->second) {
		limit->second = now.tv_sec;
		limit->seen = 0;
	}
	if (limit->seen >= burst || limit->allowed >= (unsigned long)burst * LOG_LIMIT_BURSTS) {
		limit->dropped++;
		return false;
	}
	limit->seen++;
	limit->allowed++;
	return true;
}
