/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/checkpoint_stats.h"

#include "common/auto.h"
#include "common/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	MAGIC_SERVICE = 0x55105940,
	MAGIC_STATS = 0x57093306,
	HEADER = 12,   /* two magic numbers and the length of what follows */
	FIELD_MAX = 6, /* a key and a varint of 32 bits */
	ENTRY_MAX = 8 * FIELD_MAX,
};

uint64_t checkpoint_stats_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void put_u32(uint8_t *at, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

/* protobuf: a field of 32 bits; what does not fit is as much as does. */
static size_t put_field(uint8_t *at, unsigned number, uint64_t value)
{
	size_t used = 0;

	at[used++] = (uint8_t)(number << 3);
	for (value = value < UINT32_MAX ? value : UINT32_MAX; value >= 0x80; value >>= 7)
		at[used++] = (uint8_t)(value | 0x80);
	at[used++] = (uint8_t)value;
	return used;
}

int checkpoint_stats_write(const struct checkpoint_stats *stats, const char *directory, struct err *err)
{
	/* Those of DumpStatsEntry that have to be there; there is no parent image, and nothing comes later. */
	const struct {
		unsigned number;
		uint64_t value;
	} fields[] = {
		{ 1, stats->freezing_us },   { 2, stats->frozen_us },
		{ 3, stats->dump_us },       { 4, stats->write_us },
		{ 5, stats->pages },         { 6, 0 },
		{ 7, stats->pages_written }, { 9, 0 },
	};
	uint8_t file[HEADER + 2 + ENTRY_MAX];
	uint8_t *entry = file + HEADER + 2;
	size_t length = 0;
	char path[4096];

	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		length += put_field(entry + length, fields[i].number, fields[i].value);
	put_u32(file, MAGIC_SERVICE);
	put_u32(file + 4, MAGIC_STATS);
	put_u32(file + 8, (uint32_t)(2 + length));
	file[HEADER] = 1 << 3 | 2; /* StatsEntry.dump, a message */
	file[HEADER + 1] = (uint8_t)length;
	length += HEADER + 2;
	if ((size_t)snprintf(path, sizeof path, "%s/stats-dump", directory) >= sizeof path)
		return err_set(err, ENAMETOOLONG, "--work-path: %s", directory);
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, file, length) != (ssize_t)length)
		return err_set_errno(err, "--work-path: %s", path);
	return 0;
}
