/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/fs_handles.h"

#include "common/auto.h"
#include "vmm/fs_nodes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

void fs_handles_init(struct fs_handles *handles, struct fs_nodes *nodes, uint32_t max)
{
	*handles = (struct fs_handles){ .nodes = nodes };
	pthread_mutex_init(&handles->lock, NULL);
	fs_ids_init(&handles->ids, max);
}

void fs_handles_fini(struct fs_handles *handles)
{
	fs_handles_release_all(handles);
	fs_ids_fini(&handles->ids);
	pthread_mutex_destroy(&handles->lock);
}

static void free_handle(struct fs_handles *handles, struct fs_handle *handle)
{
	close_fd(&handle->fd);
	fs_nodes_put(handles->nodes, handle->node);
	pthread_mutex_destroy(&handle->reading);
	free(handle);
}

static struct fs_handle *make(struct fs_handles *handles, struct fs_node *node, int fd, enum fs_handle_kind kind)
{
	struct fs_handle *handle = malloc(sizeof *handle);

	if (!handle) {
		close_fd(&fd);
		errno = ENOMEM;
		return NULL;
	}
	*handle = (struct fs_handle){ .kind = kind, .fd = fd, .node = fs_nodes_hold(handles->nodes, node) };
	pthread_mutex_init(&handle->reading, NULL);
	return handle;
}

int fs_handles_restore(struct fs_handles *handles, uint64_t id, struct fs_node *node, int fd, enum fs_handle_kind kind)
{
	struct fs_handle *handle = make(handles, node, fd, kind);

	if (!handle)
		return -1;
	pthread_mutex_lock(&handles->lock);
	handle->id = id;
	int result = fs_ids_restore(&handles->ids, id, handle);
	pthread_mutex_unlock(&handles->lock);
	if (result) {
		int saved = errno;

		free_handle(handles, handle);
		errno = saved;
	}
	return result;
}

uint64_t fs_handles_add(struct fs_handles *handles, struct fs_node *node, int fd, enum fs_handle_kind kind)
{
	struct fs_handle *handle = make(handles, node, fd, kind);

	if (!handle)
		return 0;

	pthread_mutex_lock(&handles->lock);
	uint64_t id = handle->id = fs_ids_add(&handles->ids, handle);
	pthread_mutex_unlock(&handles->lock);
	if (!id) {
		int saved = errno;

		free_handle(handles, handle);
		errno = saved;
	}
	return id;
}

static struct fs_handle *find_locked(struct fs_handles *handles, uint64_t id, const struct fs_node *node,
				     enum fs_handle_kind kind)
{
	struct fs_handle *handle = fs_ids_find(&handles->ids, id);

	return handle && handle->node == node && handle->kind == kind ? handle : NULL;
}

struct fs_handle *fs_handles_get(struct fs_handles *handles, uint64_t id, const struct fs_node *node,
				 enum fs_handle_kind kind)
{
	pthread_mutex_lock(&handles->lock);
	struct fs_handle *handle = find_locked(handles, id, node, kind);
	if (handle)
		handle->references++;
	pthread_mutex_unlock(&handles->lock);
	return handle;
}

void fs_handles_put(struct fs_handles *handles, struct fs_handle *handle)
{
	if (!handle)
		return;
	pthread_mutex_lock(&handles->lock);
	assert(handle->references);
	bool is_last = --handle->references == 0 && !handle->id;
	pthread_mutex_unlock(&handles->lock);
	if (is_last)
		free_handle(handles, handle);
}

static bool drop_locked(struct fs_handles *handles, struct fs_handle *handle)
{
	fs_ids_remove(&handles->ids, handle->id);
	handle->id = 0;
	return handle->references == 0;
}

bool fs_handles_release(struct fs_handles *handles, uint64_t id, const struct fs_node *node, enum fs_handle_kind kind)
{
	pthread_mutex_lock(&handles->lock);
	struct fs_handle *handle = find_locked(handles, id, node, kind);
	bool is_ours = handle;
	bool is_last = handle && drop_locked(handles, handle);
	pthread_mutex_unlock(&handles->lock);
	if (is_last)
		free_handle(handles, handle);
	return is_ours;
}

void fs_handles_release_all(struct fs_handles *handles)
{
	uint32_t index = 0;

	for (;;) {
		pthread_mutex_lock(&handles->lock);
		struct fs_handle *handle = fs_ids_next(&handles->ids, &index);
		bool is_last = handle && drop_locked(handles, handle);
		pthread_mutex_unlock(&handles->lock);
		if (!handle)
			return;
		if (is_last)
			free_handle(handles, handle);
	}
}

uint32_t fs_handles_count(struct fs_handles *handles)
{
	pthread_mutex_lock(&handles->lock);
	uint32_t count = handles->ids.used;
	pthread_mutex_unlock(&handles->lock);
	return count;
}
