/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse_seen.h - the last nodes and handles that replies told of. An input of fuzz_fuse.c names them by their place in
 * these lists, so record_fuse.c, which writes inputs, keeps the same lists.
 */
#ifndef BULKHEAD_FUSE_SEEN_H
#define BULKHEAD_FUSE_SEEN_H

#include "vmm/fs_abi.h"

#include <stdint.h>
#include <string.h>

enum { NODES = 15, HANDLES = 16, RECORDS_MAX = 200 };

static uint64_t nodes[NODES], handles[HANDLES];
static unsigned nodes_found, handles_found;

/* `body` is what follows the header of a reply without error, with room for the largest of them. */
static void note_reply(uint32_t opcode, const uint8_t *body)
{
	struct fuse_entry_out entry;
	struct fuse_open_out opened;

	memcpy(&entry, body, sizeof entry);
	switch (opcode) {
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		body += sizeof entry;
		/* fall through */
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		memcpy(&opened, body, sizeof opened);
		handles[handles_found++ % HANDLES] = opened.fh;
		if (opcode == FUSE_OPEN || opcode == FUSE_OPENDIR)
			break;
		/* fall through */
	case FUSE_LOOKUP:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
		nodes[nodes_found++ % NODES] = entry.nodeid;
		break;
	default:
		break;
	}
}

#endif
