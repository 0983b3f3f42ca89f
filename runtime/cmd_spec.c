/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/command.h"

#include "common/auto.h"
#include "common/err.h"

#include "oci/alloc.h"
#include "oci/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct spec_options {
	const char *bundle;
	bool rootless;
};

static const struct option options[] = {
	{ "bundle", 'b', OPTION_TEXT, offsetof(struct spec_options, bundle), "DIR",
	  "where to write it (default: here)" },
	{ "rootless", 0, OPTION_FLAG, offsetof(struct spec_options, rootless), NULL, "one for a user who is not root" },
	OPTION_END,
};

static int write_file(int fd, const char *path, const char *text, struct err *err)
{
	if (dprintf(fd, "%s\n", text) < 0) {
		err_set_errno(err, "cannot write %s", path);
		unlink(path);
		return -1;
	}
	return 0;
}

static int run(const struct invocation *invocation, struct err *err)
{
	const struct spec_options *given = invocation->options;
	auto_free char *path = oci_format("%s/config.json", given->bundle ? given->bundle : ".");
	auto_free char *text = oci_spec_text(given->rootless);
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd < 0 && errno == EEXIST)
		return err_set(err, EEXIST, "%s exists; remove it first", path);
	if (fd < 0)
		return err_set_errno(err, "cannot write %s", path);
	return write_file(fd, path, text, err);
}

const struct command cmd_spec = {
	.name = "spec",
	.operands = "",
	.summary = "write a config.json to begin with",
	.run = run,
	.stateless = true,
	.options = options,
	.options_size = sizeof(struct spec_options),
};
