/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_restore.c - a container that goes on from where `checkpoint` saved it. */
#include "runtime/attend.h"
#include "runtime/checkpoint.h"
#include "runtime/checkpoint_image.h"
#include "runtime/create.h"
#include "runtime/start.h"
#include "runtime/trace.h"

#include "common/auto.h"
#include "common/err.h"

#include "oci/config.h"

#include <errno.h>

struct restore_options {
	struct create_options create; /* first: CREATE_OPTIONS' offsets are from the beginning */
	const char *image_path, *work_path;
	bool detach, keep, files_may_differ, lazy_pages, ignored;
};

#define AT(member) offsetof(struct restore_options, member)
#define MEANINGLESS "accepted, means nothing in a VM"

static const struct option options[] = {
	CREATE_OPTIONS,
	{ "image-path", 0, OPTION_TEXT, AT(image_path), "DIR", "where the image is (default: checkpoint)" },
	{ "detach", 'd', OPTION_FLAG, AT(detach), NULL, "do not wait for its end" },
	{ "keep", 0, OPTION_FLAG, AT(keep), NULL, "do not delete it after its end" },
	{ "files-may-differ", 0, OPTION_FLAG, AT(files_may_differ), NULL,
	  "go on although files of the container were changed since" },
	{ "work-path", 0, OPTION_TEXT, AT(work_path), "DIR", MEANINGLESS },
	{ "tcp-established", 0, OPTION_FLAG, AT(ignored), NULL, MEANINGLESS },
	{ "tcp-close", 0, OPTION_FLAG, AT(ignored), NULL, MEANINGLESS },
	{ "ext-unix-sk", 0, OPTION_FLAG, AT(ignored), NULL, MEANINGLESS },
	{ "shell-job", 0, OPTION_FLAG, AT(ignored), NULL, MEANINGLESS },
	{ "file-locks", 0, OPTION_FLAG, AT(ignored), NULL, MEANINGLESS },
	{ "auto-dedup", 0, OPTION_FLAG, AT(ignored), NULL, MEANINGLESS },
	{ "manage-cgroups-mode", 0, OPTION_IGNORED, 0, "MODE", MEANINGLESS },
	{ "empty-ns", 0, OPTION_IGNORED, 0, "KIND", MEANINGLESS },
	{ "lsm-profile", 0, OPTION_IGNORED, 0, "PROFILE", MEANINGLESS },
	{ "lsm-mount-context", 0, OPTION_IGNORED, 0, "CONTEXT", MEANINGLESS },
	{ "lazy-pages", 0, OPTION_FLAG, AT(lazy_pages), NULL, "refused: memory is mapped from the image" },
	OPTION_END,
};

static int restore(struct create_request *request, const struct restore_options *given, struct err *err)
{
	auto_free char *text = NULL;
	struct created created;

	if (create_load_config(request->options, &request->config, &text, err) < 0)
		return -1;
	request->config_text = text;
	int result = create_container(request, &created, err);
	if (result == 0)
		result = given->detach ? leave_container(&created, err)
				       : attend_container(&created, given->keep, 0, err);
	oci_config_destroy(request->config);
	return result;
}

static int run(const struct invocation *invocation, struct err *err)
{
	const struct restore_options *given = invocation->options;
	const char *path = given->image_path ? given->image_path : "checkpoint";
	struct checkpoint checkpoint;
	struct create_request request = {
		.globals = invocation->globals,
		.options = &given->create,
		.id = invocation->operands[0],
		.detached = given->detach,
		.checkpoint = &checkpoint,
	};

	if (given->lazy_pages)
		return err_set(err, ENOTSUP, "--lazy-pages is not supported: memory is mapped from the image as it is");
	checkpoint_init(&checkpoint);
	int result = checkpoint_image_open(path, &checkpoint, err);
	trace_mark("image opened");
	checkpoint.mode = given->files_may_differ ? "changed" : "strict";
	if (result == 0)
		result = restore(&request, given, err);
	checkpoint_close(&checkpoint);
	return result;
}

const struct command cmd_restore = {
	.name = "restore",
	.operands = "ID",
	.summary = "let a container go on from an image",
	.run = run,
	.options = options,
	.options_size = sizeof(struct restore_options),
	.operands_min = 1,
	.operands_max = 1,
};
