/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/snapshot.h"

#include "common/err.h"
#include "vmm/guest_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char magic[8] = "BHSNAP\r\n"; /* the line end tells of a file that was converted as text */

struct header {
	char magic[8];
	uint32_t version;
	uint32_t header_size;
	uint64_t length;   /* of the file */
	uint64_t checksum; /* of what follows the header */
};

struct section {
	uint32_t kind, index;
	uint64_t length; /* of the payload; then up to 7 bytes of nothing */
};

_Static_assert(sizeof(struct header) % 8 == 0 && sizeof(struct section) % 8 == 0, "payloads are aligned");

uint64_t snapshot_hash(uint64_t hash, const void *data, size_t length)
{
	const uint8_t *at = data;

	while (length--)
		hash = (hash ^ *at++) * 0x100000001b3ull;
	return hash;
}

/* Four chains that the processor works on at once. Each word changes its chain to another value than any other would.
 */
uint64_t snapshot_sum(const void *data, size_t length)
{
	uint64_t chains[4] = { SNAPSHOT_HASH_INIT, 1, 2, 3 };
	const uint8_t *at = data;

	for (; length >= sizeof chains; length -= sizeof chains, at += sizeof chains) {
		uint64_t words[4];

		memcpy(words, at, sizeof words);
		for (unsigned i = 0; i < 4; i++)
			chains[i] = ((chains[i] << 23 | chains[i] >> 41) ^ words[i]) * 0x9e3779b97f4a7c15ull;
	}
	return snapshot_hash(snapshot_hash(SNAPSHOT_HASH_INIT, chains, sizeof chains), at, length);
}

static size_t padded(size_t length)
{
	return (length + 7) & ~(size_t)7;
}

/* --- writing ----------------------------------------------------------------------------------------------- */

static bool make_room(struct snapshot_writer *writer, size_t more)
{
	size_t needed = writer->length + more, room = writer->room ? writer->room : 16 << 10;
	uint8_t *data;

	if (writer->failed || more > SNAPSHOT_SIZE_MAX || needed > SNAPSHOT_SIZE_MAX) {
		writer->failed = true;
		return false;
	}
	while (room < needed)
		room *= 2;
	data = room > writer->room ? realloc(writer->data, room) : writer->data;
	if (!data) {
		writer->failed = true;
		return false;
	}
	writer->data = data;
	writer->room = room;
	return true;
}

void *snapshot_add(struct snapshot_writer *writer, enum snapshot_kind kind, uint32_t index, size_t length)
{
	size_t start = writer->length ? writer->length : sizeof(struct header);
	const struct section section = { .kind = kind, .index = index, .length = length };

	writer->length = start;
	if (length > SNAPSHOT_SIZE_MAX)
		writer->failed = true; /* before it is rounded up */
	if (!make_room(writer, sizeof section + padded(length)))
		return NULL;
	if (start == sizeof(struct header))
		memset(writer->data, 0, start);
	memcpy(writer->data + start, &section, sizeof section);
	memset(writer->data + start + sizeof section, 0, padded(length));
	writer->length = start + sizeof section + padded(length);
	return writer->data + start + sizeof section;
}

int snapshot_finish(struct snapshot_writer *writer, struct err *err)
{
	struct header header = { .version = SNAPSHOT_VERSION, .header_size = sizeof header, .length = writer->length };

	if (writer->failed || writer->length < sizeof header)
		return err_set(err, ENOMEM, "there is no room for the machine's state");
	memcpy(header.magic, magic, sizeof magic);
	header.checksum =
		snapshot_hash(SNAPSHOT_HASH_INIT, writer->data + sizeof header, writer->length - sizeof header);
	memcpy(writer->data, &header, sizeof header);
	return 0;
}

/* --- reading ----------------------------------------------------------------------------------------------- */

/* The section at `offset`; false at the end, or if it does not fit into the file. */
static bool section_at(const struct snapshot *snapshot, size_t offset, struct section *out, size_t *next)
{
	size_t left = snapshot->length - offset;

	if (left < sizeof *out)
		return false;
	memcpy(out, snapshot->data + offset, sizeof *out);
	left -= sizeof *out;
	if (out->length > left || padded((size_t)out->length) > left)
		return false;
	*next = offset + sizeof *out + padded((size_t)out->length);
	return true;
}

int snapshot_open(struct snapshot *snapshot, const void *data, size_t length, struct err *err)
{
	struct header header;
	struct section section;
	size_t offset = sizeof header;

	*snapshot = (struct snapshot){ .data = data, .length = length };
	if (length < sizeof header)
		return err_set(err, EBADMSG, "the state is too short to be one: %zu bytes", length);
	memcpy(&header, data, sizeof header);
	if (memcmp(header.magic, magic, sizeof magic) != 0)
		return err_set(err, EBADMSG, "this is no state of a machine");
	if (header.version != SNAPSHOT_VERSION || header.header_size != sizeof header)
		return err_set(err, EBADMSG, "the state has format %u, this monitor has %u", header.version,
			       SNAPSHOT_VERSION);
	if (header.length != length)
		return err_set(err, EBADMSG, "the state has %zu bytes instead of %llu", length,
			       (unsigned long long)header.length);
	if (header.checksum !=
	    snapshot_hash(SNAPSHOT_HASH_INIT, snapshot->data + sizeof header, length - sizeof header))
		return err_set(err, EBADMSG, "the state's checksum is wrong");
	while (offset < length)
		if (!section_at(snapshot, offset, &section, &offset))
			return err_set(err, EBADMSG, "the state has a section beyond its end");
	return 0;
}

static const void *find(const struct snapshot *snapshot, enum snapshot_kind kind, uint32_t index, size_t *length)
{
	struct section section;
	size_t offset = sizeof(struct header), next;

	for (; offset < snapshot->length && section_at(snapshot, offset, &section, &next); offset = next) {
		if (section.kind != (uint32_t)kind || section.index != index)
			continue;
		*length = (size_t)section.length;
		return snapshot->data + offset + sizeof section;
	}
	return NULL;
}

const void *snapshot_find(const struct snapshot *snapshot, enum snapshot_kind kind, uint32_t index, size_t length,
			  struct err *err)
{
	size_t found;
	const void *payload = find(snapshot, kind, index, &found);

	if (payload && found == length)
		return payload;
	err_set(err, EBADMSG,
		payload ? "section %d.%u of the state has another size" : "section %d.%u of the state is missing",
		(int)kind, index);
	return NULL;
}

const void *snapshot_find_array(const struct snapshot *snapshot, enum snapshot_kind kind, uint32_t index, size_t item,
				size_t max, size_t *count, struct err *err)
{
	size_t found;
	const void *payload = find(snapshot, kind, index, &found);

	if (!payload || found % item || found / item > max) {
		err_set(err, EBADMSG, "section %d.%u of the state is missing or odd", (int)kind, index);
		return NULL;
	}
	*count = found / item;
	return payload;
}

const struct snapshot_extent *snapshot_find_extents(const struct snapshot *snapshot, uint64_t memory_size,
						    size_t *count, struct err *err)
{
	const struct snapshot_extent *extents =
		snapshot_find_array(snapshot, SNAPSHOT_EXTENTS, 0, sizeof *extents, SNAPSHOT_EXTENTS_MAX, count, err);
	uint64_t end = 0;

	for (size_t i = 0; extents && i < *count; i++) {
		uint64_t offset = extents[i].offset, length = extents[i].length;

		/* Written so that nothing can wrap. */
		if (offset % GUEST_PAGE || length % GUEST_PAGE || !length || offset < end || offset > memory_size ||
		    length > memory_size - offset) {
			err_set(err, EBADMSG, "the state's list of memory makes no sense");
			return NULL;
		}
		end = offset + length;
	}
	return extents;
}
