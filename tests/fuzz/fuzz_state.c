/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a container's state file: refused with a reason, or read, shown, written and read again unchanged.
 *
 * Covers: oci/store.c oci/state.c
 */
#include "oci/store.h"

#include "tests/fuzz/json_mutator.h"

#include "common/err.h"
#include "common/log.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A directory of this process's own, in memory where the machine has that; removed by name at the end. */
static int directory_fd = -1;
static char directory[] = "/dev/shm/fuzz_state.XXXXXX";

static void remove_directory(void)
{
	unlinkat(directory_fd, "state.json", 0);
	rmdir(directory);
}

static void open_directory(void)
{
	if (mkdtemp(directory))
		directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(directory_fd >= 0);
	atexit(remove_directory);
}

static char *show(const struct oci_store *store)
{
	struct oci_state state = oci_store_state(store, true);

	return oci_state_text(&state, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct oci_store *store = NULL, *again = NULL;
	struct err err = ERR_INIT;

	log_setup("fuzz", -1, LOG_TEXT, LOG_ERROR);
	if (directory_fd < 0)
		open_directory();
	if (oci_store_parse("state.json", (const char *)data, size, &store, &err) < 0) {
		assert(!store && err.code && err.text[0] && !strchr(err.text, '\n'));
		return 0;
	}
	assert(oci_store_write(directory_fd, "state.json", store, &err) == 0);
	assert(oci_store_read(directory_fd, "state.json", &again, &err) == 0);
	char *before = show(store), *after = show(again);
	assert(strcmp(before, after) == 0);
	assert(store->pid_start == again->pid_start && store->poststop.count == again->poststop.count);
	free(before);
	free(after);
	oci_store_destroy(store);
	oci_store_destroy(again);
	return 0;
}
