/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/fs_shares.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/fd_stat.h"
#include "common/file_systems.h"
#include "vmm/fs_attr.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

void fs_shares_init(struct fs_shares *shares)
{
	shares->top = 0;
	pthread_mutex_init(&shares->lock, NULL);
}

void fs_shares_fini(struct fs_shares *shares)
{
	for (unsigned i = 0; i < shares->top; i++)
		fs_share_put(shares->slots[i]);
	shares->top = 0;
	pthread_mutex_destroy(&shares->lock);
}

struct fs_share *fs_share_get(struct fs_share *share)
{
	if (share)
		atomic_fetch_add_explicit(&share->references, 1, memory_order_relaxed);
	return share;
}

void fs_share_put(struct fs_share *share)
{
	if (!share || atomic_fetch_sub_explicit(&share->references, 1, memory_order_acq_rel) != 1)
		return;
	close_fd(&share->fd);
	free(share);
}

static void look_at_file_system(struct fs_share *share, int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return;
	share->plain_open = file_system_is_plain((unsigned long)fs.f_type);
	/* Of overlayfs only the upper layer is written, and NFS, for one, cannot be that. */
	share->quiet_close = share->plain_open || (unsigned long)fs.f_type == OVERLAYFS_SUPER_MAGIC;
}

static bool name_is_valid(const char *name)
{
	return *name && strlen(name) < VMM_NAME_MAX && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..");
}

static struct fs_share *find_locked(struct fs_shares *shares, const char *name, unsigned *slot)
{
	for (unsigned i = 0; i < shares->top; i++) {
		if (shares->slots[i] && !strcmp(shares->slots[i]->name, name)) {
			*slot = i;
			return shares->slots[i];
		}
	}
	return NULL;
}

static int insert(struct fs_shares *shares, struct fs_share *share, struct err *err)
{
	unsigned slot;
	int result = 0;

	pthread_mutex_lock(&shares->lock);
	if (find_locked(shares, share->name, &slot)) {
		result = err_set(err, EEXIST, "share \"%s\" exists already", share->name);
	} else {
		for (slot = 0; slot < shares->top && shares->slots[slot]; slot++)
			;
		if (slot == FS_SHARES_MAX) {
			result = err_set(err, ENOSPC, "share \"%s\": there are %d shares already", share->name,
					 FS_SHARES_MAX);
		} else {
			shares->slots[slot] = share;
			if (slot == shares->top)
				shares->top++;
		}
	}
	pthread_mutex_unlock(&shares->lock);
	return result;
}

int fs_shares_add(struct fs_shares *shares, const char *name, int fd, bool read_only, struct err *err)
{
	auto_fd int taken = fd;
	struct stat st;
	uint64_t mount;

	if (!name_is_valid(name))
		return err_set(err, EINVAL, "share name \"%.80s\" is empty, too long or holds a slash", name);
	if (fd_stat(taken, &st) || fs_attr_mount(taken, &mount))
		return err_set_errno(err, "share \"%s\": cannot stat descriptor %d", name, fd);
	/* A fifo and a socket are names and no more: nothing here opens them (fs_open_node). */
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode))
		return err_set(err, EINVAL, "share \"%s\" is neither a directory nor a file, a fifo or a socket", name);

	struct fs_share *share = calloc(1, sizeof *share);

	if (!share)
		return err_set(err, ENOMEM, "share \"%s\": out of memory", name);
	strcpy(share->name, name);
	share->type = st.st_mode & S_IFMT;
	share->read_only = read_only;
	share->mount = mount;
	share->device = st.st_dev;
	look_at_file_system(share, taken);
	share->fd = take_fd(&taken);
	atomic_init(&share->references, 1);
	if (insert(shares, share, err)) {
		fs_share_put(share);
		return -1;
	}
	return 0;
}

int fs_shares_remove(struct fs_shares *shares, const char *name, struct err *err)
{
	unsigned slot;

	pthread_mutex_lock(&shares->lock);
	struct fs_share *share = find_locked(shares, name, &slot);
	if (share)
		shares->slots[slot] = NULL;
	pthread_mutex_unlock(&shares->lock);
	if (!share)
		return err_set(err, ENOENT, "there is no share \"%.80s\"", name);
	fs_share_put(share);
	return 0;
}

struct fs_share *fs_shares_find(struct fs_shares *shares, const char *name)
{
	unsigned slot;

	pthread_mutex_lock(&shares->lock);
	struct fs_share *share = fs_share_get(find_locked(shares, name, &slot));
	pthread_mutex_unlock(&shares->lock);
	return share;
}

struct fs_share *fs_shares_at(struct fs_shares *shares, unsigned *slot)
{
	struct fs_share *share = NULL;

	pthread_mutex_lock(&shares->lock);
	while (*slot < shares->top && !shares->slots[*slot])
		++*slot;
	if (*slot < shares->top)
		share = fs_share_get(shares->slots[*slot]);
	pthread_mutex_unlock(&shares->lock);
	return share;
}

bool fs_shares_open_plainly(struct fs_shares *shares)
{
	bool plain = true;

	for (unsigned slot = 0; plain; slot++) {
		struct fs_share *share = fs_shares_at(shares, &slot);

		if (!share)
			break;
		plain = share->plain_open;
		fs_share_put(share);
	}
	return plain;
}
