/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the state of a saved machine. A checksum that is wrong would stop nearly all of them, so half of the
 * inputs get a right one. What is accepted lies inside the file and inside the memory, and a device that takes it is as
 * safe as before.
 *
 * Covers: vmm/snapshot.c vmm/virtio_state.c
 */
#include "common/err.h"
#include "vmm/fs_server.h"
#include "vmm/fs_tables.h"
#include "vmm/guest_memory.h"
#include "vmm/sandbox.h"
#include "vmm/snapshot.h"
#include "vmm/virtio_mmio.h"
#include "vmm/virtio_rng.h"
#include "vmm/virtio_state.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMORY (8u << 20)

enum { HEADER = 32, LENGTH_AT = 16, CHECKSUM_AT = 24 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_device(const struct virtio_saved *saved, struct guest_memory *memory)
{
	struct virtio_mmio mmio;
	struct virtq_chain chain;
	struct err err = ERR_INIT;

	virtio_mmio_init(&mmio, virtio_rng_create(&err), memory, -1);
	if (!virtio_state_restore(&mmio, saved, &err)) {
		virtio_state_continue(&mmio);
		for (unsigned i = 0; i < 64 && virtqueue_pop(&mmio.device->queues[0], &chain) > 0; i++)
			virtqueue_push(&mmio.device->queues[0], chain.head, 0);
	}
	virtio_mmio_destroy(&mmio);
}

/*
 * A server that has one share, with a file in it, takes up any tables and forgets them again; with a window for files
 * if there is a list of what was in one.
 */
static void check_files(const struct snapshot *snapshot)
{
	static int image = -1;
	static char path[] = "/tmp/fuzz-snapshot-XXXXXX";
	struct fs_server *server =
		fs_server_create((struct fs_limits){ .nodes = 64, .handles = 16 }, -1, &(struct err)ERR_INIT);
	struct fs_window window = { 0 };
	struct err err = ERR_INIT;
	size_t length;
	bool maps = snapshot_find_array(snapshot, SNAPSHOT_FS_WINDOW, 0, 1, SIZE_MAX, &length, &err);

	if (image < 0) {
		image = memfd_create("image", MFD_CLOEXEC);
		int fd = mkdtemp(path) ? open(path, O_PATH | O_CLOEXEC) : -1;

		if (image < 0 || fd < 0 || ftruncate(image, 1 << 16) || mkdirat(fd, "d", 0755) ||
		    close(openat(fd, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644)))
			abort();
		close(fd);
	}
	if (!server || fs_shares_add(&server->shares, "rootfs", open(path, O_PATH | O_CLOEXEC), maps, &err) ||
	    (maps && fs_window_create(&window, 2 * FS_WINDOW_PIECE, &err)))
		abort();
	if (maps)
		fs_server_set_window(server, &window);
	if (fs_tables_restore(server, snapshot, image, true, &err))
		assert(err.code && err.text[0]);
	fs_server_destroy(server);
	fs_window_destroy(&window);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct guest_memory memory;
	struct err err = ERR_INIT;
	struct snapshot snapshot;
	uint64_t length = size, checksum;
	uint8_t *copy = aligned_alloc(8, (size + 15) & ~(size_t)7);
	const void *payload;
	size_t count;

	if (!copy || (!memory.count && guest_memory_create(&memory, MEMORY, &err)))
		abort();
	memcpy(copy, data, size);
	if (size > HEADER && !(data[size - 1] & 1)) {
		checksum = snapshot_hash(SNAPSHOT_HASH_INIT, copy + HEADER, size - HEADER);
		memcpy(copy + LENGTH_AT, &length, sizeof length);
		memcpy(copy + CHECKSUM_AT, &checksum, sizeof checksum);
	}
	if (!snapshot_open(&snapshot, copy, size, &err)) {
		const struct snapshot_extent *extents = snapshot_find_extents(&snapshot, MEMORY, &count, &err);

		for (size_t i = 0; extents && i < count; i++)
			assert(extents[i].length && extents[i].offset + extents[i].length <= MEMORY);
		check_files(&snapshot);
		for (unsigned kind = 0; kind < 48; kind++) {
			payload = snapshot_find_array(&snapshot, kind, 0, 1, SIZE_MAX, &count, &err);
			assert(!payload || (const uint8_t *)payload + count <= copy + size);
		}
		payload = snapshot_find(&snapshot, SNAPSHOT_DEVICE, 0, sizeof(struct virtio_saved), &err);
		if (payload)
			check_device(payload, &memory);
		payload = snapshot_find(&snapshot, SNAPSHOT_SANDBOX, 0, sizeof(struct sandbox_saved), &err);
		if (payload) {
			struct sandbox sandbox;

			sandbox_init(&sandbox, &memory);
			if (!sandbox_restore(&sandbox, payload, &err) && sandbox_renew(&sandbox, &err))
				abort();
			sandbox_destroy(&sandbox);
		}
	} else {
		assert(err.code && err.text[0] && !strchr(err.text, '\n'));
	}
	free(copy);
	return 0;
}
