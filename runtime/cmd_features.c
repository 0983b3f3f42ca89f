/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/command.h"
#include "runtime/version.h"

#include "common/auto.h"

#include "oci/features.h"

static int run(const struct invocation *invocation, struct err *err)
{
	auto_free char *text = oci_features_text(version_text);

	(void)invocation;
	(void)err;
	puts(text);
	return 0;
}

const struct command cmd_features = {
	.name = "features",
	.operands = "",
	.summary = "print what this runtime can do, as JSON",
	.run = run,
	.stateless = true,
};
