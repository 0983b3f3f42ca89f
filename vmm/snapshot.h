/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.h - the file with all of a stopped VM but its memory: a header, then sections.
 *
 * A section has a kind, an index (which vCPU, which device) and a payload; payloads begin at multiples of 8. The header
 * has a version and a checksum over everything behind it. The format is this machine's own (plain structs of KVM's
 * and ours): a snapshot never travels.
 *
 * What is read back is as little trusted as a guest: snapshot_open checks lengths, bounds and the checksum, and
 * snapshot_find gives a section only in the size that is asked for; what the numbers in it mean is checked by who uses
 * them. No thread of its own, no lock.
 */
#ifndef BULKHEAD_SNAPSHOT_H
#define BULKHEAD_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define SNAPSHOT_VERSION 3u

enum { SNAPSHOT_SIZE_MAX = 128 << 20, SNAPSHOT_EXTENTS_MAX = 256 };

/* Numbers are part of the format. */
enum snapshot_kind {
	SNAPSHOT_MACHINE = 1, /* struct snapshot_machine */
	SNAPSHOT_EXTENTS = 2, /* array of struct snapshot_extent */
	SNAPSHOT_CLOCK = 3,   /* KVM's structs, up to SNAPSHOT_MSRS */
	SNAPSHOT_IRQCHIP = 4, /* index: which chip */
	SNAPSHOT_REGS = 8,    /* index: which vCPU, up to SNAPSHOT_MSRS */
	SNAPSHOT_SREGS = 9,
	SNAPSHOT_XSAVE = 10,
	SNAPSHOT_XCRS = 11,
	SNAPSHOT_DEBUGREGS = 12,
	SNAPSHOT_LAPIC = 13,
	SNAPSHOT_MP_STATE = 14,
	SNAPSHOT_EVENTS = 15,
	SNAPSHOT_MSRS = 16,    /* array of struct kvm_msr_entry, in the order in which they are to be set */
	SNAPSHOT_DEVICE = 32,  /* index: place on the bus; struct virtio_saved */
	SNAPSHOT_FS = 33,      /* struct fs_saved */
	SNAPSHOT_SANDBOX = 34, /* struct sandbox_saved */
	/* Of a checkpoint only. */
	SNAPSHOT_NET = 35,       /* index: place on the bus; struct nets_saved */
	SNAPSHOT_FS_TABLES = 36, /* this and the next four: fs_tables.c */
	SNAPSHOT_FS_SHARES = 37,
	SNAPSHOT_FS_NODES = 38,
	SNAPSHOT_FS_TEXT = 39,
	SNAPSHOT_FS_HANDLES = 40,
	SNAPSHOT_VSOCK = 42,     /* uint32_t: virtio_vsock_serial */
	SNAPSHOT_SUMS = 41,      /* array of uint64_t: a checksum for each extent */
	SNAPSHOT_FS_WINDOW = 43, /* what the guest has mapped (fs_tables.c); only if there is a window */
};

struct snapshot_machine {
	uint64_t memory_size;
	uint64_t processor; /* vcpus_processor */
	uint32_t vcpus, devices;
	uint64_t window_address, window_size; /* of the window for files (fs_window.h); 0: there is none */
};

/* A part of memory that is in the memory file, at the offset that it has among all memory; the rest is zero. */
struct snapshot_extent {
	uint64_t offset, length;
};

/* --- writing ----------------------------------------------------------------------------------------------- */

struct snapshot_writer {
	uint8_t *data; /* free() it */
	size_t length, room;
	bool failed; /* out of memory, or too large: seen by snapshot_finish */
};

/* A zeroed payload of `length` bytes to fill in before the next call; NULL if there is no room. */
void *snapshot_add(struct snapshot_writer *writer, enum snapshot_kind kind, uint32_t index, size_t length);

/* Completes the header. */
int snapshot_finish(struct snapshot_writer *writer, struct err *err);

/* --- reading ----------------------------------------------------------------------------------------------- */

struct snapshot {
	const uint8_t *data; /* the caller's, aligned to 8 */
	size_t length;
};

int snapshot_open(struct snapshot *snapshot, const void *data, size_t length, struct err *err);

/* The payload if there is such a section and it has exactly `length` bytes; else NULL with the error set. */
const void *snapshot_find(const struct snapshot *snapshot, enum snapshot_kind kind, uint32_t index, size_t length,
			  struct err *err);

/* The same for `item` bytes, 0 to `max` times. */
const void *snapshot_find_array(const struct snapshot *snapshot, enum snapshot_kind kind, uint32_t index, size_t item,
				size_t max, size_t *count, struct err *err);

/* The extents, checked: whole pages, ascending, inside `memory_size`. */
const struct snapshot_extent *snapshot_find_extents(const struct snapshot *snapshot, uint64_t memory_size,
						    size_t *count, struct err *err);

/* FNV-1a over 64 bits: against accidents, not against attackers. Begin with SNAPSHOT_HASH_INIT. */
#define SNAPSHOT_HASH_INIT 0xcbf29ce484222325ull
uint64_t snapshot_hash(uint64_t hash, const void *data, size_t length);

/* For the same purpose, of whole pages of memory: several times as fast. */
uint64_t snapshot_sum(const void *data, size_t length);

#endif
