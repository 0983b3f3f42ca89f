/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/fs_ids.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static uint32_t index_of(uint64_t id)
{
	return (uint32_t)id;
}

void fs_ids_init(struct fs_ids *ids, uint32_t max)
{
	*ids = (struct fs_ids){ .top = 1, .max = max };
}

void fs_ids_fini(struct fs_ids *ids)
{
	free(ids->slots);
	ids->slots = NULL;
	ids->size = 0;
}

static int grow_to(struct fs_ids *ids, uint32_t size)
{
	struct fs_ids_slot *slots = realloc(ids->slots, size * sizeof *slots);

	if (!slots) {
		errno = ENOMEM;
		return -1;
	}
	ids->slots = slots;
	ids->size = size;
	return 0;
}

static int grow(struct fs_ids *ids)
{
	return grow_to(ids, ids->size ? ids->size * 2 : 64);
}

uint64_t fs_ids_add(struct fs_ids *ids, void *object)
{
	assert(object);
	if (ids->used == ids->max) {
		errno = ENFILE;
		return 0;
	}

	uint32_t index = ids->free;

	if (index) {
		ids->free = ids->slots[index].next_free;
	} else {
		if (ids->top >= ids->size && grow(ids))
			return 0;
		index = ids->top++;
		ids->slots[index].generation = 0;
	}
	ids->slots[index].object = object;
	ids->used++;
	return (uint64_t)ids->slots[index].generation << 32 | index;
}

int fs_ids_restore(struct fs_ids *ids, uint64_t id, void *object)
{
	uint32_t index = index_of(id), size = ids->size ? ids->size : 64;

	errno = EINVAL;
	/* Slots are used from the bottom: a hole as large as the table itself is nobody's doing. */
	if (index == 0 || index > ids->max || ids->used == ids->max)
		return -1;
	while (size <= index)
		size *= 2;
	if (size > ids->size && grow_to(ids, size))
		return -1;
	for (; ids->top <= index; ids->top++)
		ids->slots[ids->top] = (struct fs_ids_slot){ 0 };
	if (ids->slots[index].object)
		return -1;
	ids->slots[index] = (struct fs_ids_slot){ .object = object, .generation = (uint32_t)(id >> 32) };
	ids->used++;
	return 0;
}

void fs_ids_settle(struct fs_ids *ids, uint32_t generation)
{
	ids->free = 0;
	for (uint32_t index = ids->top; index-- > 1;) {
		if (ids->slots[index].object)
			continue;
		ids->slots[index] = (struct fs_ids_slot){ .generation = generation, .next_free = ids->free };
		ids->free = index;
	}
}

void *fs_ids_find(const struct fs_ids *ids, uint64_t id)
{
	uint32_t index = index_of(id);

	if (index == 0 || index >= ids->top || ids->slots[index].generation != (uint32_t)(id >> 32))
		return NULL;
	return ids->slots[index].object;
}

void fs_ids_remove(struct fs_ids *ids, uint64_t id)
{
	uint32_t index = index_of(id);

	assert(fs_ids_find(ids, id));
	ids->slots[index].object = NULL;
	ids->slots[index].generation++;
	ids->slots[index].next_free = ids->free;
	ids->free = index;
	ids->used--;
}

void *fs_ids_next(const struct fs_ids *ids, uint32_t *index)
{
	for (uint32_t i = *index; i < ids->top; i++) {
		if (i && ids->slots[i].object) {
			*index = i + 1;
			return ids->slots[i].object;
		}
	}
	*index = ids->top;
	return NULL;
}
