/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/fs_nodes.h"

#include "common/auto.h"
#include "vmm/fs_abi.h"
#include "vmm/fs_shares.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { BUCKETS_FIRST = 256 };

static uint32_t bucket_of(const struct fs_nodes *nodes, const struct fs_key *key)
{
	uint64_t mixed = (key->inode ^ key->mount << 40 ^ key->device << 20) * 0x9e3779b97f4a7c15ull;

	return (uint32_t)(mixed >> 32) & (nodes->bucket_count - 1);
}

static bool keys_are_equal(const struct fs_key *a, const struct fs_key *b)
{
	return a->inode == b->inode && a->device == b->device && a->mount == b->mount;
}

int fs_nodes_init(struct fs_nodes *nodes, uint32_t max)
{
	*nodes = (struct fs_nodes){ .bucket_count = BUCKETS_FIRST };
	pthread_mutex_init(&nodes->lock, NULL);
	fs_ids_init(&nodes->ids, max);
	nodes->buckets = calloc(nodes->bucket_count, sizeof *nodes->buckets);
	nodes->root = calloc(1, sizeof *nodes->root);
	if (!nodes->buckets || !nodes->root) {
		errno = ENOMEM;
		return -1;
	}
	/* The root is found by its id only: no key leads to it. */
	*nodes->root = (struct fs_node){ .fd = -1, .type = S_IFDIR, .references = 1, .lookups = 1 };
	nodes->root->id = fs_ids_add(&nodes->ids, nodes->root);
	if (!nodes->root->id)
		return -1;
	assert(nodes->root->id == FS_ROOT_ID);
	return 0;
}

static void free_node(struct fs_node *node)
{
	close_fd(&node->fd);
	fs_share_put(node->share);
	free(node);
}

void fs_nodes_fini(struct fs_nodes *nodes)
{
	if (nodes->ids.used)
		fs_nodes_forget_all(nodes);
	free(nodes->root);
	free(nodes->buckets);
	fs_ids_fini(&nodes->ids);
	pthread_mutex_destroy(&nodes->lock);
}

struct fs_node *fs_nodes_get(struct fs_nodes *nodes, uint64_t id)
{
	pthread_mutex_lock(&nodes->lock);
	struct fs_node *node = fs_ids_find(&nodes->ids, id);
	if (node)
		node->references++;
	pthread_mutex_unlock(&nodes->lock);
	return node;
}

struct fs_node *fs_nodes_hold(struct fs_nodes *nodes, struct fs_node *node)
{
	pthread_mutex_lock(&nodes->lock);
	node->references++;
	pthread_mutex_unlock(&nodes->lock);
	return node;
}

void fs_nodes_put(struct fs_nodes *nodes, struct fs_node *node)
{
	if (!node)
		return;
	pthread_mutex_lock(&nodes->lock);
	assert(node->references);
	bool is_last = --node->references == 0 && !node->id;
	pthread_mutex_unlock(&nodes->lock);
	if (is_last)
		free_node(node);
}

/* Under the lock: takes the id away and the node out of its bucket. True if the caller has to free it, unlocked. */
static bool drop_locked(struct fs_nodes *nodes, struct fs_node *node)
{
	struct fs_node **link = &nodes->buckets[bucket_of(nodes, &node->key)];

	while (*link != node)
		link = &(*link)->next;
	*link = node->next;
	node->next = NULL;
	fs_ids_remove(&nodes->ids, node->id);
	node->id = 0;
	node->lookups = 0;
	return node->references == 0;
}

static void grow_locked(struct fs_nodes *nodes)
{
	uint32_t old_count = nodes->bucket_count;
	struct fs_node **old = nodes->buckets, **buckets = calloc(old_count * 2ul, sizeof *buckets);

	if (!buckets)
		return; /* longer chains, no harm */
	nodes->buckets = buckets;
	nodes->bucket_count = old_count * 2;
	for (uint32_t i = 0; i < old_count; i++) {
		while (old[i]) {
			struct fs_node *node = old[i];
			struct fs_node **bucket = &buckets[bucket_of(nodes, &node->key)];

			old[i] = node->next;
			node->next = *bucket;
			*bucket = node;
		}
	}
	free(old);
}

static void chain_locked(struct fs_nodes *nodes, struct fs_node *node)
{
	struct fs_node **bucket = &nodes->buckets[bucket_of(nodes, &node->key)];

	node->next = *bucket;
	*bucket = node;
}

static int enter_locked(struct fs_nodes *nodes, struct fs_node *node)
{
	node->id = fs_ids_add(&nodes->ids, node);
	if (!node->id)
		return -1;
	if (nodes->ids.used > nodes->bucket_count)
		grow_locked(nodes);
	chain_locked(nodes, node);
	return 0;
}

static struct fs_node *find_locked(const struct fs_nodes *nodes, const struct fs_key *key)
{
	struct fs_node *node = nodes->buckets[bucket_of(nodes, key)];

	while (node && !keys_are_equal(&node->key, key))
		node = node->next;
	return node;
}

uint64_t fs_nodes_look_up(struct fs_nodes *nodes, struct fs_found *found, struct fs_node **out)
{
	uint64_t id = 0;
	int saved = 0;

	pthread_mutex_lock(&nodes->lock);
	struct fs_node *node = find_locked(nodes, &found->key);
	if (!node) {
		node = malloc(sizeof *node);
		if (!node) {
			saved = ENOMEM;
			goto out;
		}
		*node = (struct fs_node){ .key = found->key,
					  .fd = found->fd,
					  .type = found->type,
					  .submount = found->submount,
					  .salt = found->salt,
					  .share = found->share };
		if (enter_locked(nodes, node)) {
			saved = errno;
			free(node);
			goto out;
		}
		found->fd = -1;
		fs_share_get(node->share);
	}
	node->lookups++;
	id = node->id;
	found->submount = node->submount;
	if (out) {
		node->references++;
		*out = node;
	}
out:
	pthread_mutex_unlock(&nodes->lock);
	close_fd(&found->fd);
	errno = saved;
	return id;
}

int fs_nodes_restore(struct fs_nodes *nodes, uint64_t id, uint64_t lookups, struct fs_found *found)
{
	struct fs_node *node = malloc(sizeof *node);
	int result = -1;

	if (!node) {
		close_fd(&found->fd);
		return -1;
	}
	*node = (struct fs_node){ .key = found->key,
				  .fd = take_fd(&found->fd),
				  .type = found->type,
				  .submount = found->submount,
				  .salt = found->salt,
				  .share = fs_share_get(found->share),
				  .id = id,
				  .lookups = lookups };
	pthread_mutex_lock(&nodes->lock);
	if (!fs_ids_restore(&nodes->ids, id, node)) {
		if (nodes->ids.used > nodes->bucket_count)
			grow_locked(nodes);
		chain_locked(nodes, node);
		result = 0;
	}
	pthread_mutex_unlock(&nodes->lock);
	if (result) {
		int saved = errno;

		free_node(node);
		errno = saved;
	}
	return result;
}

uint64_t fs_nodes_count_lookup(struct fs_nodes *nodes, struct fs_node *node)
{
	uint64_t id = 0;

	pthread_mutex_lock(&nodes->lock);
	/* Forgotten, and perhaps looked up anew since: then it must not be entered a second time. */
	if (!node->id && find_locked(nodes, &node->key))
		errno = ESTALE;
	else if (node->id || !enter_locked(nodes, node)) {
		node->lookups++;
		id = node->id;
	}
	pthread_mutex_unlock(&nodes->lock);
	return id;
}

void fs_nodes_forget(struct fs_nodes *nodes, uint64_t id, uint64_t lookups)
{
	bool is_last = false;

	pthread_mutex_lock(&nodes->lock);
	struct fs_node *node = fs_ids_find(&nodes->ids, id);
	if (node && node != nodes->root) {
		node->lookups -= lookups < node->lookups ? lookups : node->lookups;
		if (!node->lookups)
			is_last = drop_locked(nodes, node);
	}
	pthread_mutex_unlock(&nodes->lock);
	if (is_last)
		free_node(node);
}

void fs_nodes_forget_all(struct fs_nodes *nodes)
{
	uint32_t index = 0;

	for (;;) {
		bool is_last = false;

		pthread_mutex_lock(&nodes->lock);
		struct fs_node *node = fs_ids_next(&nodes->ids, &index);
		if (node && node != nodes->root)
			is_last = drop_locked(nodes, node);
		pthread_mutex_unlock(&nodes->lock);
		if (!node)
			return;
		if (is_last)
			free_node(node);
	}
}

uint32_t fs_nodes_count(struct fs_nodes *nodes)
{
	pthread_mutex_lock(&nodes->lock);
	uint32_t count = nodes->ids.used;
	pthread_mutex_unlock(&nodes->lock);
	return count;
}
