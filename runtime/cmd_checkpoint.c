/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_checkpoint.c - not there yet. Engines ask for --help to find out, so that is refused as well. */
#include "runtime/command.h"

const struct command cmd_checkpoint = {
	.name = "checkpoint",
	.operands = "ID",
	.summary = "not supported yet",
	.refusal = "checkpoint is not supported yet",
};

const struct command cmd_restore = {
	.name = "restore",
	.operands = "ID",
	.summary = "not supported yet",
	.refusal = "restore is not supported yet",
};
