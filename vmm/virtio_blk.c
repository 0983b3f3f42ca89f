/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_blk.c - the block device (virtio 1.2, section 5.2): one queue, and threads that read and write its backend by
 * way of the host's page cache.
 *
 * A guest can read and write what is on its disk, as fast as the host lets it, and keep the threads busy with that.
 * Sectors and lengths are checked against the disk's size before anything is done; of a request that is malformed
 * nothing is done, it fails. What is read goes into guest memory directly, which virtqueue_pop has found each segment
 * to lie in.
 *
 * One idle thread waits for the driver's kick, the others for `work`: whoever has taken a request and sees another one
 * has the next thread come.
 */
#include "vmm/virtio_blk.h"

#include "common/auto.h"
#include "common/err.h"
#include "vmm/virtio_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	DEVICE_ID = 2,
	QUEUE_REQUESTS = 0,
	QUEUE_COUNT = 1,
	QUEUE_SIZE = 256,
	WORKERS = 4,
	STACK_SIZE = 128 << 10,
	SEGMENTS_MAX = VIRTQ_CHAIN_MAX - 2,          /* beside header and status */
	RANGE_SECTORS_MAX = (1u << 30) / BLK_SECTOR, /* to discard or to zero at once */
};

/* Segments are used where they lie, so the bound is only for sums. */
#define CHAIN_BYTES_MAX (64ull << 20)

#define FEATURE_SEG_MAX (1ull << 2)
#define FEATURE_RO (1ull << 5)
#define FEATURE_BLK_SIZE (1ull << 6)
#define FEATURE_FLUSH (1ull << 9)
#define FEATURE_DISCARD (1ull << 13)
#define FEATURE_WRITE_ZEROES (1ull << 14)

enum request_type { READ = 0, WRITE = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13 };
enum status { OK, IOERR, UNSUPP };
enum { RANGE_UNMAP = 1 };

/* 5.2.6: what a request begins with; its last writable byte is the status. */
struct header {
	uint32_t type, reserved;
	uint64_t sector;
};
_Static_assert(sizeof(struct header) == 16, "as in the queue");

struct range {
	uint64_t sector;
	uint32_t sectors, flags;
};
_Static_assert(sizeof(struct range) == 16, "as in the queue");

/* 5.2.4 */
struct config {
	uint64_t capacity;
	uint32_t size_max, seg_max;
	uint8_t geometry[4];
	uint32_t blk_size;
	uint8_t topology[8];
	uint8_t writeback, unused0;
	uint16_t num_queues;
	uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
	uint32_t max_write_zeroes_sectors, max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap, unused1[3];
};
_Static_assert(sizeof(struct config) == 64 && offsetof(struct config, write_zeroes_may_unmap) == 56,
	       "as the driver reads it, and padding");

struct virtio_blk {
	struct virtio_device device;
	struct virtio_device_ops ops; /* our own copy: what is offered depends on the backend */

	/* Under `lock`, as is every call on the queue. It is taken under device.lock at times, never the other way. */
	pthread_mutex_t lock;
	pthread_cond_t work;               /* for threads that do not wait for a kick */
	pthread_cond_t quiet;              /* busy became 0 */
	struct virtio_blk_backend backend; /* fd -1: unplugged. While a thread is busy it does not change */
	struct config config;
	bool active, failed, stopping;
	bool held;      /* no request is begun: the backend is about to go */
	bool listening; /* a thread waits for a kick */
	unsigned busy;  /* threads that hold a chain */
	unsigned started;
	pthread_t threads[WORKERS];
};

static struct virtio_blk *blk_of(struct virtio_device *device)
{
	return (struct virtio_blk *)device;
}

/* --- requests ---------------------------------------------------------------------------------------------- */

static bool is_on_disk(const struct virtio_blk_backend *backend, uint64_t sector, uint64_t sectors)
{
	return sector <= backend->sectors && sectors <= backend->sectors - sector;
}

/* All of it, however often the kernel stops half way. Cuts up the segments. */
static enum status transfer(const struct virtio_blk_backend *backend, struct iovec *segments, unsigned count,
			    uint64_t offset, bool is_write)
{
	while (count) {
		ssize_t n = is_write ? pwritev2(backend->fd, segments, (int)count, (off_t)offset, 0)
				     : preadv2(backend->fd, segments, (int)count, (off_t)offset, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) /* 0: the device is shorter than it was */
			return IOERR;
		offset += (size_t)n;
		for (; count && (size_t)n >= segments->iov_len; segments++, count--)
			n -= (ssize_t)segments->iov_len;
		if (count) {
			segments->iov_base = (uint8_t *)segments->iov_base + n;
			segments->iov_len -= (size_t)n;
		}
	}
	return OK;
}

static enum status read_or_write(const struct virtio_blk_backend *backend, const struct header *header,
				 const struct virtq_chain *chain, size_t length)
{
	bool is_write = header->type == WRITE;
	struct iovec data[VIRTQ_CHAIN_MAX];
	unsigned count = is_write ? iovec_slice(virtq_chain_readable(chain), chain->readable_count, sizeof *header,
						length, data, VIRTQ_CHAIN_MAX)
				  : iovec_slice(virtq_chain_writable(chain), chain->writable_count, 0, length, data,
						VIRTQ_CHAIN_MAX);

	if (length % BLK_SECTOR || !is_on_disk(backend, header->sector, length / BLK_SECTOR) ||
	    (is_write && backend->read_only))
		return IOERR;
	return transfer(backend, data, count, header->sector * BLK_SECTOR, is_write);
}

/* 5.2.6.2: the driver was told that one range at a time is what there is. */
static enum status clear(const struct virtio_blk_backend *backend, const struct header *header,
			 const struct virtq_chain *chain)
{
	struct range range;
	bool unmap = header->type == DISCARD;

	if (chain->readable_length != sizeof *header + sizeof range ||
	    iovec_read(virtq_chain_readable(chain), chain->readable_count, sizeof *header, &range, sizeof range) !=
		    sizeof range)
		return IOERR;
	if (range.flags & ~(unsigned)RANGE_UNMAP || (unmap && range.flags))
		return UNSUPP;
	if (backend->read_only || range.sectors > RANGE_SECTORS_MAX ||
	    !is_on_disk(backend, range.sector, range.sectors))
		return IOERR;
	if (!range.sectors)
		return OK;
	if (range.flags & RANGE_UNMAP)
		unmap = true;
	/* Both leave zeros behind. */
	if (!fallocate(backend->fd, FALLOC_FL_KEEP_SIZE | (unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE),
		       (off_t)(range.sector * BLK_SECTOR), (off_t)range.sectors * BLK_SECTOR))
		return OK;
	return errno == EOPNOTSUPP ? UNSUPP : IOERR;
}

static enum status get_id(const struct virtio_blk_backend *backend, const struct virtq_chain *chain, size_t length)
{
	char id[BLK_ID_MAX];

	/* Padded with zeros, and without one where it fills its place. */
	memset(id, 0, sizeof id);
	memcpy(id, backend->id, strnlen(backend->id, sizeof id));
	iovec_write(virtq_chain_writable(chain), chain->writable_count, 0, id, length < sizeof id ? length : sizeof id);
	return OK;
}

/* Returns the bytes written; a chain without room for a status gets none. */
static uint32_t handle_request(struct virtio_blk *blk, const struct virtq_chain *chain)
{
	const struct virtio_blk_backend *backend = &blk->backend;
	struct header header;
	uint8_t status = IOERR;
	size_t in = chain->writable_length - 1, out = chain->readable_length - sizeof header;

	atomic_fetch_add_explicit(&blk->device.requests, 1, memory_order_relaxed);
	if (!chain->writable_length || iovec_read(virtq_chain_readable(chain), chain->readable_count, 0, &header,
						  sizeof header) != sizeof header) {
		atomic_fetch_add_explicit(&blk->device.refused, 1, memory_order_relaxed);
		return 0;
	}
	if (backend->fd >= 0) {
		switch (header.type) {
		case READ:
			status = read_or_write(backend, &header, chain, in);
			break;
		case WRITE:
			status = read_or_write(backend, &header, chain, out);
			break;
		case FLUSH:
			status = backend->read_only || !fdatasync(backend->fd) ? OK : IOERR;
			break;
		case GET_ID:
			status = get_id(backend, chain, in);
			break;
		case DISCARD:
		case WRITE_ZEROES:
			status = clear(backend, &header, chain);
			break;
		default:
			status = UNSUPP;
		}
	}
	if (status != OK)
		atomic_fetch_add_explicit(&blk->device.refused, 1, memory_order_relaxed);
	iovec_write(virtq_chain_writable(chain), chain->writable_count, in, &status, sizeof status);
	return header.type == READ || header.type == GET_ID ? (uint32_t)chain->writable_length : 1;
}

/* --- the threads ------------------------------------------------------------------------------------------------- */

/* As virtqueue_pop, and the next thread comes if there is more. */
static int take_locked(struct virtio_blk *blk, struct virtq_chain *chain)
{
	struct virtqueue *queue = &blk->device.queues[QUEUE_REQUESTS];

	if (!blk->active || blk->failed || blk->stopping || blk->held)
		return 0;

	int got = virtqueue_pop(queue, chain);

	blk->failed = got < 0;
	if (got <= 0)
		return got;
	blk->busy++;
	/* Asks for the next kick at once: it is for another thread while this one works. */
	if (virtqueue_enable_kick(queue))
		pthread_cond_signal(&blk->work);
	return 1;
}

static void serve_locked(struct virtio_blk *blk)
{
	struct virtqueue *queue = &blk->device.queues[QUEUE_REQUESTS];
	struct virtq_chain chain;
	int got;

	while ((got = take_locked(blk, &chain)) > 0) {
		pthread_mutex_unlock(&blk->lock);

		uint32_t written = handle_request(blk, &chain);

		pthread_mutex_lock(&blk->lock);
		virtqueue_push(queue, chain.head, written);
		bool wants = virtqueue_should_signal(queue);
		if (--blk->busy == 0)
			pthread_cond_broadcast(&blk->quiet);
		if (wants)
			blk->device.signal_queue(&blk->device, QUEUE_REQUESTS);
	}
	if (got < 0)
		blk->device.fail(&blk->device, queue->why);
}

static void wait_locked(struct virtio_blk *blk)
{
	eventfd_t count;

	if (blk->listening) {
		pthread_cond_wait(&blk->work, &blk->lock);
		return;
	}
	blk->listening = true;
	pthread_mutex_unlock(&blk->lock);
	eventfd_read(blk->device.kick_fds[QUEUE_REQUESTS], &count);
	pthread_mutex_lock(&blk->lock);
	blk->listening = false;
	/* Another one listens while this one works. */
	pthread_cond_signal(&blk->work);
}

static void *run_worker(void *arg)
{
	struct virtio_blk *blk = arg;

	pthread_mutex_lock(&blk->lock);
	while (!blk->stopping) {
		serve_locked(blk);
		if (!blk->stopping)
			wait_locked(blk);
	}
	pthread_mutex_unlock(&blk->lock);
	return NULL;
}

int virtio_blk_start(struct virtio_device *device, struct err *err)
{
	struct virtio_blk *blk = blk_of(device);
	pthread_attr_t attr;
	sigset_t all, before;
	int error = 0;

	/* Made for loops, which do not wait in read(2); these threads do. */
	fcntl(device->kick_fds[QUEUE_REQUESTS], F_SETFL, 0);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&all);
	sigdelset(&all, SIGBUS); /* fs_window.h: a header may lie there */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_mutex_lock(&blk->lock);
	while (blk->started < WORKERS && !error) {
		error = pthread_create(&blk->threads[blk->started], &attr, run_worker, blk);
		blk->started += !error;
	}
	/* With one there is already all that is needed. */
	if (blk->started)
		error = 0;
	pthread_mutex_unlock(&blk->lock);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return error ? err_set(err, error, "virtio-blk: cannot start a thread: %s", strerror(error)) : 0;
}

static void stop(struct virtio_blk *blk)
{
	pthread_mutex_lock(&blk->lock);
	blk->stopping = true;
	pthread_cond_broadcast(&blk->work);
	if (blk->started)
		eventfd_write(blk->device.kick_fds[QUEUE_REQUESTS], 1);
	pthread_mutex_unlock(&blk->lock);
	for (unsigned i = 0; i < blk->started; i++)
		pthread_join(blk->threads[i], NULL);
}

/* --- the device -------------------------------------------------------------------------------------------------- */

static void activate(struct virtio_device *device)
{
	struct virtio_blk *blk = blk_of(device);

	pthread_mutex_lock(&blk->lock);
	blk->active = true;
	blk->failed = false;
	pthread_mutex_unlock(&blk->lock);
}

static void wait_until_quiet_locked(struct virtio_blk *blk)
{
	while (blk->busy)
		pthread_cond_wait(&blk->quiet, &blk->lock);
}

static void reset(struct virtio_device *device)
{
	struct virtio_blk *blk = blk_of(device);

	pthread_mutex_lock(&blk->lock);
	blk->active = false;
	wait_until_quiet_locked(blk);
	pthread_mutex_unlock(&blk->lock);
}

static void config_read(struct virtio_device *device, size_t offset, void *out, size_t length)
{
	memcpy(out, (const uint8_t *)&blk_of(device)->config + offset, length);
}

/* Before a driver looks at it. */
static void set_backend(struct virtio_blk *blk, const struct virtio_blk_backend *backend)
{
	blk->backend = *backend;
	blk->ops.features = FEATURE_SEG_MAX | FEATURE_BLK_SIZE | FEATURE_FLUSH;
	blk->ops.features |= backend->read_only ? FEATURE_RO : FEATURE_DISCARD | FEATURE_WRITE_ZEROES;
	blk->config = (struct config){
		.capacity = backend->sectors,
		.seg_max = SEGMENTS_MAX,
		.blk_size = 1u << backend->block_log,
		.num_queues = QUEUE_COUNT,
		.max_discard_sectors = RANGE_SECTORS_MAX,
		.max_discard_seg = 1,
		.discard_sector_alignment = (1u << backend->block_log) / BLK_SECTOR,
		.max_write_zeroes_sectors = RANGE_SECTORS_MAX,
		.max_write_zeroes_seg = 1,
		.write_zeroes_may_unmap = 1,
	};
}

void virtio_blk_unplug(struct virtio_device *device)
{
	struct virtio_blk *blk = blk_of(device);

	pthread_mutex_lock(&blk->lock);
	/* A guest that always has another request would have the loop wait for ever. */
	blk->held = true;
	wait_until_quiet_locked(blk);
	blk->held = false;
	close_fd(&blk->backend.fd);
	/* For what came meanwhile: it fails. */
	if (blk->started)
		eventfd_write(device->kick_fds[QUEUE_REQUESTS], 1);
	pthread_mutex_unlock(&blk->lock);
}

bool virtio_blk_replug(struct virtio_device *device, const struct virtio_blk_backend *backend)
{
	struct virtio_blk *blk = blk_of(device);
	bool is_free;

	pthread_mutex_lock(&device->lock);
	pthread_mutex_lock(&blk->lock);
	is_free = !device->active && blk->backend.fd < 0;
	if (is_free)
		set_backend(blk, backend);
	pthread_mutex_unlock(&blk->lock);
	if (is_free)
		device->show_config(device);
	pthread_mutex_unlock(&device->lock);
	return is_free;
}

static void destroy(struct virtio_device *device)
{
	struct virtio_blk *blk = blk_of(device);

	stop(blk);
	close_fd(&blk->backend.fd);
	pthread_cond_destroy(&blk->work);
	pthread_cond_destroy(&blk->quiet);
	pthread_mutex_destroy(&blk->lock);
	virtio_device_fini(device);
	free(blk);
}

static const struct virtio_device_ops blk_ops = {
	.name = "virtio-blk",
	.device_id = DEVICE_ID,
	.queue_size = QUEUE_SIZE,
	.activate = activate,
	.reset = reset,
	.config_size = offsetof(struct config, write_zeroes_may_unmap) + 4,
	.config_read = config_read,
	.destroy = destroy,
};

struct virtio_device *virtio_blk_create(const struct virtio_blk_backend *backend, struct err *err)
{
	struct virtio_blk *blk = calloc(1, sizeof *blk);

	if (!blk) {
		close(backend->fd);
		err_set(err, ENOMEM, "virtio-blk: out of memory");
		return NULL;
	}
	blk->ops = blk_ops;
	virtio_device_init(&blk->device, &blk->ops, QUEUE_COUNT);
	blk->device.own_kicks = true;
	blk->device.queues[QUEUE_REQUESTS].bytes_max = CHAIN_BYTES_MAX;
	pthread_mutex_init(&blk->lock, NULL);
	pthread_cond_init(&blk->work, NULL);
	pthread_cond_init(&blk->quiet, NULL);
	set_backend(blk, backend);
	return &blk->device;
}
