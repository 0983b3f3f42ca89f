/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/command.h"
#include "runtime/container.h"
#include "runtime/statedir.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct list_options {
	const char *format;
	bool quiet;
};

static const struct option options[] = {
	{ "format", 'f', OPTION_TEXT, offsetof(struct list_options, format), "table|json", "how (default: table)" },
	{ "quiet", 'q', OPTION_FLAG, offsetof(struct list_options, quiet), NULL, "only ids" },
	OPTION_END,
};

struct listing {
	const struct globals *globals;
	struct container *containers;
	size_t count;
};

/* One that cannot be read is not listed: it is being made or removed right now, or is broken, which the log says. */
static int collect(const char *id, void *arg)
{
	struct listing *listing = arg;
	struct container container;
	struct err err = ERR_INIT;

	if (container_open(&container, listing->globals, id, false, &err) < 0) {
		log_debug("%s", err.text);
		container_close(&container);
		return 0;
	}
	struct container *grown = reallocarray(listing->containers, listing->count + 1, sizeof *grown);
	if (!grown) {
		container_close(&container);
		return -1;
	}
	close_fd(&container.dirfd); /* there may be thousands */
	listing->containers = grown;
	listing->containers[listing->count++] = container;
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct container *one = a, *two = b;

	return strcmp(one->id, two->id);
}

static struct oci_state state_of(const struct container *container)
{
	struct oci_state state = oci_store_state(container->store, true);

	state.status = container->status;
	return state;
}

static void print_json(const struct listing *listing)
{
	auto_free struct oci_state *states = calloc(listing->count + 1, sizeof *states);

	for (size_t i = 0; states && i < listing->count; i++)
		states[i] = state_of(&listing->containers[i]);
	auto_free char *text = states ? oci_state_list_text(states, listing->count) : NULL;
	puts(text ? text : "[]");
}

static void print_table(const struct listing *listing)
{
	int id_width = 11, bundle_width = 11;

	for (size_t i = 0; i < listing->count; i++) {
		int id_length = (int)strlen(listing->containers[i].id);
		int bundle_length = (int)strlen(listing->containers[i].store->bundle);

		id_width = id_length > id_width ? id_length : id_width;
		bundle_width = bundle_length > bundle_width ? bundle_length : bundle_width;
	}
	printf("%-*s %-11s %-11s %-*s %-30s %s\n", id_width, "ID", "PID", "STATUS", bundle_width, "BUNDLE", "CREATED",
	       "OWNER");
	for (size_t i = 0; i < listing->count; i++) {
		struct oci_state state = state_of(&listing->containers[i]);
		char created[40];

		oci_time_text(state.created_ns, created);
		printf("%-*s %-11d %-11s %-*s %-30s %s\n", id_width, state.id,
		       state.status == OCI_STATUS_STOPPED ? 0 : (int)state.pid, oci_status_name(state.status),
		       bundle_width, state.bundle, created, state.owner ? state.owner : "");
	}
}

static void print_ids(const struct listing *listing)
{
	for (size_t i = 0; i < listing->count; i++)
		puts(listing->containers[i].id);
}

static int run(const struct invocation *invocation, struct err *err)
{
	const struct list_options *given = invocation->options;
	struct listing listing = { .globals = invocation->globals };
	bool json = given->format && strcmp(given->format, "json") == 0;

	if (given->format && !json && strcmp(given->format, "table") != 0)
		return err_set(err, EINVAL, "--format: \"%s\" is neither table nor json", given->format);
	int result = statedir_each(invocation->globals->root, collect, &listing, err);
	if (result == 0) {
		if (listing.count)
			qsort(listing.containers, listing.count, sizeof listing.containers[0], by_id);
		if (given->quiet)
			print_ids(&listing);
		else if (json)
			print_json(&listing);
		else
			print_table(&listing);
	}
	for (size_t i = 0; i < listing.count; i++)
		container_close(&listing.containers[i]);
	free(listing.containers);
	return result;
}

const struct command cmd_list = {
	.name = "list",
	.operands = "",
	.summary = "list the containers below --root",
	.run = run,
	.options = options,
	.options_size = sizeof(struct list_options),
};
