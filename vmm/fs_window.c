/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/fs_window.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/fd_stat.h"
#include "vmm/fs_nodes.h"
#include "vmm/fs_request.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PAGE 4096ull

/* Pages that nobody wrote are one page of the host's, so this costs nothing but page tables. */
static bool show_zeros(uint8_t *at, uint64_t length)
{
	return mmap(at, length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) !=
	       MAP_FAILED;
}

/*
 * A mapping over another one that fails may have taken away what was there (Linux before 6.12). Whatever this process
 * maps next, its heap for one, may come to lie in such a hole, where the guest reads it: then better no VM.
 */
static void leave_no_hole(uint8_t *at, uint64_t length)
{
	if (!show_zeros(at, length))
		abort();
}

static uint8_t *piece_at(const struct fs_window *window, unsigned index)
{
	return window->host + ((uint64_t)index << FS_WINDOW_PIECE_SHIFT);
}

int fs_window_create(struct fs_window *window, uint64_t size, struct err *err)
{
	uint64_t room = size + FS_WINDOW_PIECE, before;
	uint8_t *map;

	*window = (struct fs_window){ 0 };
	if (!size || size % FS_WINDOW_PIECE || size > FS_WINDOW_MAX)
		return err_set(err, EINVAL, "a window of %llu bytes for files: not a multiple of 2 MiB, or too large",
			       (unsigned long long)size);
	window->count = (unsigned)(size >> FS_WINDOW_PIECE_SHIFT);
	window->pieces = calloc(window->count, sizeof *window->pieces);
	if (!window->pieces)
		return err_set(err, ENOMEM, "out of memory for the window for files");
	map = mmap(NULL, room, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED) {
		err_set_errno(err, "cannot map %llu MiB of window for files", (unsigned long long)(size >> 20));
		free(window->pieces);
		window->pieces = NULL;
		return -1;
	}
	before = -(uintptr_t)map & (FS_WINDOW_PIECE - 1);
	if (before)
		munmap(map, before);
	munmap(map + before + size, FS_WINDOW_PIECE - before);
	window->host = map + before;
	window->size = size;
	/* A huge page of zeros is one of the host's too, but the first to want it has to make it. */
	madvise(window->host, size, MADV_NOHUGEPAGE);
	pthread_mutex_init(&window->lock, NULL);
	return 0;
}

void fs_window_destroy(struct fs_window *window)
{
	if (!window->host)
		return;
	munmap(window->host, window->size);
	free(window->pieces);
	pthread_mutex_destroy(&window->lock);
	*window = (struct fs_window){ 0 };
}

/* --- SIGBUS: a thread of ours read where a file ended --------------------------------------------------------------
 */

static struct fs_window *caught;

static void bus_error(int signal, siginfo_t *info, void *context)
{
	uint64_t at = (uintptr_t)info->si_addr - (uintptr_t)caught->host, in_piece = at & (FS_WINDOW_PIECE - PAGE);
	atomic_uint *shown;
	unsigned before;

	(void)signal;
	(void)context;
	/*
	 * Nothing else of ours may lose pages. A fault beside the window has a distance beyond its size. What follows
	 * in the piece has no pages either, and has to be zeros as well: `shown` says so, and by that fs_window_mend
	 * goes.
	 */
	if (at >= caught->size || !show_zeros(caught->host + (at & ~(PAGE - 1)), FS_WINDOW_PIECE - in_piece))
		abort();
	shown = &caught->pieces[at >> FS_WINDOW_PIECE_SHIFT].shown;
	before = atomic_load(shown);
	while (before > in_piece && !atomic_compare_exchange_weak(shown, &before, (unsigned)in_piece))
		;
	atomic_store(&caught->is_torn, true);
}

int fs_window_catch_faults(struct fs_window *window, struct err *err)
{
	const struct sigaction action = { .sa_sigaction = bus_error, .sa_flags = SA_SIGINFO | SA_RESTART };

	caught = window;
	return sigaction(SIGBUS, &action, NULL) ? err_set_errno(err, "cannot set a signal handler") : 0;
}

/* --- pieces ------------------------------------------------------------------------------------------------------- */

/* Takes the piece's node, which the caller lets go of unlocked. */
static struct fs_node *clear_locked(struct fs_window *window, unsigned index)
{
	struct fs_window_piece *piece = &window->pieces[index];
	struct fs_node *node = piece->node;

	piece->node = NULL;
	piece->offset = 0;
	atomic_store(&piece->shown, 0);
	return node;
}

/* False, with errno: it shows zeros. */
static bool show_file(const struct fs_window *window, unsigned index, int fd, uint64_t offset)
{
	int saved;

	if (mmap(piece_at(window, index), FS_WINDOW_PIECE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, (off_t)offset) !=
	    MAP_FAILED)
		return true;
	saved = errno;
	leave_no_hole(piece_at(window, index), FS_WINDOW_PIECE);
	errno = saved;
	return false;
}

int fs_window_map(struct fs_window *window, unsigned index, struct fs_node *node, int fd, uint64_t offset)
{
	struct fs_window_piece *piece = &window->pieces[index];
	struct fs_node *before;
	int error = 0;

	pthread_mutex_lock(&window->lock);
	if (!show_file(window, index, fd, offset))
		error = errno;
	before = clear_locked(window, index);
	if (!error) {
		piece->node = fs_nodes_hold(window->nodes, node);
		piece->offset = offset;
		atomic_store(&piece->shown, (unsigned)FS_WINDOW_PIECE);
	}
	pthread_mutex_unlock(&window->lock);
	fs_nodes_put(window->nodes, before);
	return error;
}

void fs_window_unmap(struct fs_window *window, unsigned index)
{
	struct fs_node *before = NULL;

	pthread_mutex_lock(&window->lock);
	if (window->pieces[index].node) {
		leave_no_hole(piece_at(window, index), FS_WINDOW_PIECE);
		before = clear_locked(window, index);
	}
	pthread_mutex_unlock(&window->lock);
	fs_nodes_put(window->nodes, before);
}

void fs_window_unmap_all(struct fs_window *window)
{
	for (unsigned i = 0; i < window->count; i++)
		fs_window_unmap(window, i);
	atomic_store(&window->is_torn, false);
}

/* How much of the piece its file has now, in whole pages. */
static unsigned length_of(const struct fs_window_piece *piece)
{
	struct stat st;

	/* What cannot be looked at has nothing. */
	if (fd_stat(piece->node->fd, &st) || (uint64_t)st.st_size <= piece->offset)
		return 0;

	uint64_t length = ((uint64_t)st.st_size - piece->offset + PAGE - 1) & ~(PAGE - 1);

	return (unsigned)(length < FS_WINDOW_PIECE ? length : FS_WINDOW_PIECE);
}

bool fs_window_mend(struct fs_window *window)
{
	bool has_mended = false;

	pthread_mutex_lock(&window->lock);
	for (unsigned i = 0; i < window->count; i++) {
		struct fs_window_piece *piece = &window->pieces[i];

		if (!piece->node)
			continue;

		unsigned length = length_of(piece), shown = atomic_load(&piece->shown);

		if (length < shown) {
			leave_no_hole(piece_at(window, i) + length, shown - length);
			atomic_store(&piece->shown, length);
			has_mended = true;
		}
	}
	if (has_mended)
		atomic_store(&window->is_torn, true);
	pthread_mutex_unlock(&window->lock);
	return has_mended;
}

void fs_window_renew(struct fs_window *window, struct fs_server *server)
{
	bool is_torn = false;

	pthread_mutex_lock(&window->lock);
	atomic_store(&window->is_torn, false);
	for (unsigned i = 0; i < window->count; i++) {
		struct fs_window_piece *piece = &window->pieces[i];
		unsigned shown = atomic_load(&piece->shown);

		if (!piece->node || shown == FS_WINDOW_PIECE)
			continue;
		is_torn = true;
		if (length_of(piece) <= shown)
			continue;

		auto_fd int fd = fs_open_node(server, piece->node, O_RDONLY);

		if (fd >= 0)
			atomic_store(&piece->shown,
				     show_file(window, i, fd, piece->offset) ? (unsigned)FS_WINDOW_PIECE : 0);
	}
	if (is_torn)
		atomic_store(&window->is_torn, true);
	pthread_mutex_unlock(&window->lock);
}
