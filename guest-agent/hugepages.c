/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/hugepages.h"

#include "common/err.h"
#include "guest-agent/agent.h"
#include "guest-agent/container.h"
#include "guest-agent/errtext.h"
#include "guest-agent/files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE (UINT64_C(2) << 20)
#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
#define LIMIT_FILE "hugetlb.2MB.max"

int64_t hugepages_limit(const agent_FileValue *files, size_t count)
{
	int64_t limit = -1;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(files[i].name, LIMIT_FILE) != 0)
			continue;
		/* No limit reserves nothing: there is no number to go by. */
		limit = strtoll(files[i].value, NULL, 10);
		if (limit < 0)
			limit = 0;
	}
	return limit;
}

static uint64_t read_pool(void)
{
	char text[32];

	return file_read_at(AT_FDCWD, POOL, text, sizeof text) > 0 ? strtoull(text, NULL, 10) : 0;
}

static int write_pool(uint64_t pages)
{
	char text[32];

	snprintf(text, sizeof text, "%" PRIu64, pages);
	return file_write_at(AT_FDCWD, POOL, text);
}

int hugepages_fit(const struct agent *agent, struct err *err)
{
	uint64_t wanted = 0, before = read_pool(), got;

	for (const struct container *c = agent->containers; c; c = c->next)
		wanted += (c->huge_bytes + PAGE - 1) / PAGE;
	if (wanted == before)
		return 0;
	if (write_pool(wanted) < 0)
		return errtext_set(err, "huge pages: " POOL);
	got = read_pool();
	if (got >= wanted)
		return 0;
	(void)write_pool(before);
	return err_set(err, ENOMEM,
		       "huge pages: the guest has memory for %" PRIu64 " of the %" PRIu64
		       " pages of 2 MiB that the limits allow",
		       got, wanted);
}
