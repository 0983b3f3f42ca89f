/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_checkpoint.c - a running container into an image, from which `restore` lets it go on. */
#include "runtime/checkpoint.h"
#include "runtime/checkpoint_image.h"
#include "runtime/command.h"
#include "runtime/container.h"

#include "common/err.h"
#include "common/fd_stat.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct checkpoint_options {
	const char *image_path, *work_path, *parent_path, *page_server;
	bool leave_running, pre_dump, lazy_pages, ignored;
};

#define AT(member) offsetof(struct checkpoint_options, member)
#define MEANINGLESS "accepted, means nothing in a VM"

/* As runc has them, since engines pass them on. */
static const struct option options[] = {
	{ "image-path", 0, OPTION_TEXT, AT(image_path), "DIR", "where the image goes (default: checkpoint)" },
	{ "leave-running", 0, OPTION_FLAG, AT(leave_running), NULL, "do not end the container" },
	{ "work-path", 0, OPTION_TEXT, AT(work_path), "DIR", "where CRIU's statistics go, if it exists" },
	{ "tcp-established", 0, OPTION_FLAG, AT(ignored), NULL, MEANINGLESS },
	{ "tcp-skip-in-flight", 0, OPTION_FLAG, AT(ignored), NULL, MEANINGLESS },
	{ "ext-unix-sk", 0, OPTION_FLAG, AT(ignored), NULL, MEANINGLESS },
	{ "shell-job", 0, OPTION_FLAG, AT(ignored), NULL, MEANINGLESS },
	{ "file-locks", 0, OPTION_FLAG, AT(ignored), NULL, MEANINGLESS },
	{ "link-remap", 0, OPTION_FLAG, AT(ignored), NULL, MEANINGLESS },
	{ "auto-dedup", 0, OPTION_FLAG, AT(ignored), NULL, MEANINGLESS },
	{ "manage-cgroups-mode", 0, OPTION_IGNORED, 0, "MODE", MEANINGLESS },
	{ "empty-ns", 0, OPTION_IGNORED, 0, "KIND", MEANINGLESS },
	{ "status-fd", 0, OPTION_IGNORED, 0, "N", MEANINGLESS },
	{ "parent-path", 0, OPTION_TEXT, AT(parent_path), "DIR", "an earlier image, not read: this one is whole" },
	{ "pre-dump", 0, OPTION_FLAG, AT(pre_dump), NULL, "like --leave-running: the image is whole" },
	{ "lazy-pages", 0, OPTION_FLAG, AT(lazy_pages), NULL, "refused: memory is mapped from the image" },
	{ "page-server", 0, OPTION_TEXT, AT(page_server), "ADDRESS", "refused: an image is a directory" },
	OPTION_END,
};

static int check(const struct checkpoint_options *given, struct err *err)
{
	const char *refused = given->lazy_pages ? "--lazy-pages" : given->page_server ? "--page-server" : NULL;

	/* In runc's words. */
	if (given->parent_path && given->parent_path[0] == '/')
		return err_set(err, EINVAL, "--parent-path must be relative");
	return refused ? err_set(err, ENOTSUP, "%s is not supported: a checkpoint is one whole image", refused) : 0;
}

/* As seen from the image's directory. */
static int check_parent(const struct checkpoint_image *image, const char *parent, struct err *err)
{
	struct stat status;
	int result = fstatat(image->dirfd, parent, &status, 0);

	if (result == 0 && !S_ISDIR(status.st_mode)) {
		errno = ENOTDIR;
		result = -1;
	}
	return result < 0 ? err_set_errno(err, "invalid --parent-path: %s/%s", image->path, parent) : 0;
}

/* Who carries images about follows this link as CRIU would. Nothing here does. */
static int link_parent(const struct checkpoint_image *image, const char *parent, struct err *err)
{
	(void)unlinkat(image->dirfd, "parent", 0);
	if (symlinkat(parent, image->dirfd, "parent") < 0)
		return err_set_errno(err, "%s/parent", image->path);
	return 0;
}

static bool stays(const struct checkpoint_options *given)
{
	return given->leave_running || given->pre_dump;
}

/* The container is an image by now: that there is no account of it is no failure. */
static void tell_stats(const struct checkpoint_options *given, const struct checkpoint *checkpoint,
		       struct checkpoint_stats *stats, uint64_t taken_us)
{
	struct err err = ERR_INIT;
	struct stat memory;

	stats->write_us = checkpoint_stats_now() - taken_us;
	stats->pages = (uint64_t)checkpoint->memory_mib << 8;
	if (fd_stat(checkpoint->memory_fd, &memory) == 0)
		stats->pages_written = (uint64_t)memory.st_blocks / 8;
	if (checkpoint_stats_write(stats, given->work_path, &err) < 0)
		log_debug("%s", err.text);
}

/* The container ends only when its image is safe. */
static int save(const struct checkpoint_options *given, struct container *container, struct checkpoint_image *image,
		struct checkpoint *checkpoint, struct err *err)
{
	struct checkpointing work;
	int result = checkpoint_take(&work, container, checkpoint, err);
	struct checkpoint_stats stats = work.stats; /* letting it go forgets them */
	uint64_t taken_us = checkpoint_stats_now();

	if (result == 0 && stays(given))
		checkpoint_release(&work);
	if (result == 0)
		result = checkpoint_image_commit(image, checkpoint, container, err);
	if (result == 0 && given->parent_path)
		result = link_parent(image, given->parent_path, err);
	if (result == 0 && !stays(given))
		result = checkpoint_stop(&work, err);
	if (result < 0)
		checkpoint_release(&work);
	else if (given->work_path)
		tell_stats(given, checkpoint, &stats, taken_us);
	return result;
}

static int checkpoint_container(const struct checkpoint_options *given, struct container *container, struct err *err)
{
	const char *path = given->image_path ? given->image_path : "checkpoint";
	struct checkpoint_image image = { .dirfd = -1 };
	struct checkpoint checkpoint;

	checkpoint_init(&checkpoint);
	int result = checkpoint_image_create(&image, path, &checkpoint, err);
	if (result == 0 && given->parent_path)
		result = check_parent(&image, given->parent_path, err);
	if (result == 0)
		result = save(given, container, &image, &checkpoint, err);
	checkpoint_image_close(&image);
	checkpoint_close(&checkpoint);
	return result < 0 ? err_wrap(err, "cannot checkpoint container %s", container->id) : 0;
}

static int run(const struct invocation *invocation, struct err *err)
{
	const struct checkpoint_options *given = invocation->options;
	struct container container;

	if (check(given, err) < 0)
		return -1;
	int result =
		container_open_for(&container, invocation->globals, invocation->operands[0], LIFECYCLE_CHECKPOINT, err);
	if (result == 0)
		result = checkpoint_container(given, &container, err);
	/* As runc does it: what has become an image is no container any more. */
	if (result == 0 && !stays(given))
		result = container_destroy(&container, err);
	container_close(&container);
	return result;
}

const struct command cmd_checkpoint = {
	.name = "checkpoint",
	.operands = "ID",
	.summary = "save a running container to an image",
	.run = run,
	.options = options,
	.options_size = sizeof(struct checkpoint_options),
	.operands_min = 1,
	.operands_max = 1,
};
