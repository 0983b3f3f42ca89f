/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_fork.c - a running container becomes several: checkpoint and restore in one, without an image.
 *
 * The memory of all forks is mapped privately from one file that has no name: it is gone with the last of them. It lies
 * on a disk where there is one, since the kernel can write such pages back and take them, and they are not held against
 * the original's memory limit for good.
 */
#include "runtime/checkpoint.h"
#include "runtime/command.h"
#include "runtime/container.h"
#include "runtime/create.h"
#include "runtime/start.h"
#include "runtime/statedir.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include "oci/config.h"
#include "oci/fork_config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define FORK_DIR "/var/lib/bulkhead"

struct fork_options {
	const char *bundle;
};

static const struct option options[] = {
	{ "bundle", 'b', OPTION_TEXT, offsetof(struct fork_options, bundle), "DIR",
	  "of the forks (default: the container's own bundle and files)" },
	OPTION_END,
};

static int make_file(const char *name, struct err *err)
{
	int fd;

	if (mkdir(FORK_DIR, 0755) < 0 && errno != EEXIST)
		log_debug(FORK_DIR ": %s", strerror(errno));
	fd = open(FORK_DIR, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		fd = memfd_create(name, MFD_CLOEXEC);
	return fd >= 0 ? fd : err_set_errno(err, "cannot make a file for the container's memory");
}

static int take(struct container *container, struct checkpoint *checkpoint, struct err *err)
{
	struct checkpointing work;

	checkpoint->memory_fd = make_file("memory", err);
	checkpoint->state_fd = checkpoint->memory_fd < 0 ? -1 : make_file("state", err);
	if (checkpoint->state_fd < 0)
		return -1;
	int result = checkpoint_take(&work, container, checkpoint, err);
	checkpoint_release(&work);
	return result;
}

/* The text of the configuration that the forks' are made of, and their bundle. */
static int load_text(const struct fork_options *given, struct container *container, char **text, char **bundle,
		     struct err *err)
{
	const struct create_options from = { .bundle = given->bundle };
	struct oci_config *config = NULL;
	int result;

	if (given->bundle)
		result = create_load_config(&from, &config, text, err);
	else
		result = container_load_config_text(container, text, err);
	if (result == 0) {
		*bundle = strdup(config ? config->bundle : container->store->bundle);
		result = *bundle ? 0 : err_set(err, ENOMEM, "out of memory");
	}
	oci_config_destroy(config);
	return result;
}

static int make_fork(const struct globals *globals, struct checkpoint *checkpoint, const char *id, const char *text,
		     const char *bundle, struct err *err)
{
	const struct create_options none = { .bundle = bundle };
	auto_free char *own = oci_fork_config(text, id, err);
	struct create_request request = {
		.globals = globals,
		.options = &none,
		.id = id,
		.config_text = own,
		.detached = true,
		.checkpoint = checkpoint,
	};
	struct created created;

	if (!own || oci_config_parse(bundle, own, strlen(own), &request.config, err) < 0)
		return -1;
	int result = create_container(&request, &created, err);
	if (result == 0) {
		result = start_container(&created.container, err);
		if (result < 0)
			created_destroy(&created);
		else
			created_close(&created);
	}
	oci_config_destroy(request.config);
	return result < 0 ? err_wrap(err, "fork %s", id) : 0;
}

static int check_ids(const struct invocation *invocation, struct err *err)
{
	for (int i = 1; i < invocation->operand_count; i++) {
		struct err ignored = ERR_INIT;
		auto_fd int fd = statedir_open(invocation->globals->root, invocation->operands[i], false, &ignored);

		if (fd >= 0)
			return err_set(err, EEXIST, "fork %s: container with given ID already exists",
				       invocation->operands[i]);
	}
	return 0;
}

static int run(const struct invocation *invocation, struct err *err)
{
	const struct fork_options *given = invocation->options;
	auto_free char *text = NULL;
	auto_free char *bundle = NULL;
	struct container container;
	struct checkpoint checkpoint;

	checkpoint_init(&checkpoint);
	if (check_ids(invocation, err) < 0)
		return -1;
	int result =
		container_open_for(&container, invocation->globals, invocation->operands[0], LIFECYCLE_CHECKPOINT, err);
	if (result == 0)
		result = load_text(given, &container, &text, &bundle, err);
	if (result == 0 && take(&container, &checkpoint, err) < 0)
		result = err_wrap(err, "cannot fork container %s", container.id);
	if (result == 0 && checkpoint.terminal)
		result = err_set(
			err, ENOTSUP,
			"cannot fork container %s: it has a terminal, of which there is one; use checkpoint and "
			"restore",
			container.id);
	container_close(&container); /* and its lock */
	checkpoint.mode = "fork";
	checkpoint.new_machine_id = true;
	checkpoint.streams = 0;
	checkpoint.has_notify = false; /* the original's service manager hears of the original alone */
	for (int i = 1; result == 0 && i < invocation->operand_count; i++)
		result = make_fork(invocation->globals, &checkpoint, invocation->operands[i], text, bundle, err);
	checkpoint_close(&checkpoint);
	return result;
}

const struct command cmd_fork = {
	.name = "fork",
	.operands = "ID NEW-ID...",
	.summary = "make copies of a running container, which go on from where it is",
	.run = run,
	.options = options,
	.options_size = sizeof(struct fork_options),
	.operands_min = 2,
	.operands_max = -1,
};
