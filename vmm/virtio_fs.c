/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_fs.c - the file system device (virtio 1.2, section 5.11): a high-priority queue for what needs no reply
 * (FORGET), a request queue, and file threads that serve both.
 *
 * A guest can keep its threads busy and reach the bounds of its tables; it can reach what is in its shares, as far as
 * their mounts allow. What a malformed request does is in fs_server.c: it is answered or dropped, and counted.
 *
 * The threads wait in one epoll descriptor, which wakes exactly one of them for a kick, and the one that was idle for
 * the shortest time: the caches it works with are warm. The kicks' eventfds are registered edge-triggered and never
 * read. A thread that has taken a request and sees another one waiting wakes, or makes, another thread first.
 *
 * A kick and an interrupt each cost more than most requests, so FORGETs, which nobody waits for, go without. While
 * requests keep coming no kick is asked for: whoever serves one looks for FORGETs as well, and the driver is told that
 * they are done with the next answer. What is left over is settled LINGER_MS after the last request, by one thread that
 * waits no longer than that. (A RELEASE is waited for: virtio-fs has the close of a file wait.)
 */
#include "vmm/virtio_fs.h"

#include "common/auto.h"
#include "common/err.h"
#include "vmm/fs_abi.h"
#include "vmm/fs_server.h"
#include "vmm/fs_tables.h"
#include "vmm/virtio_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ids.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

enum {
	PRIORITY_QUEUE,
	REQUEST_QUEUE,
	QUEUES,
	STOP,  /* not a queue: its eventfd ends the threads */
	CALLS, /* nor this: there is something for one of them to call */
};

enum {
	TAG_SIZE = 36,
	QUEUE_SIZE =
		512, /* the guest's driver makes its largest request from this: more than FS_PAGES_MAX and headers */
	STACK_SIZE = 256 << 10,
	LINGER_MS = 10,
	CALLS_MAX = 16,
	UNTOLD_MAX = 64, /* of the queue's 512, so that the driver does not run out of room for them */
};

struct virtio_fs_config_space {
	char tag[TAG_SIZE]; /* padded with zeros, not terminated */
	uint32_t request_queues;
};

struct virtio_fs {
	struct virtio_device device;
	struct fs_server *server;
	struct virtio_fs_config_space config;
	int epoll_fd, stop_fd;

	/* Under `lock`, as is every call on the two queues. No other lock is taken while it is held. */
	pthread_mutex_t lock;
	pthread_cond_t quiet; /* busy became 0 */
	bool active;          /* between activate and reset */
	bool failed;          /* the driver was told so */
	bool stopping;
	bool held; /* for virtio_fs_save: no request is begun */
	bool kicks_watched;
	bool forgets_looked_for; /* no kick is asked for on the priority queue */
	bool lingering;          /* a thread waits for LINGER_MS */
	unsigned untold;         /* chains given back of which the driver was not told */
	unsigned workers_max, started, idle;
	unsigned busy; /* threads that hold a chain */
	pthread_t threads[VIRTIO_FS_WORKERS_MAX];
	int (*confine)(struct err *err); /* still to be called by the first thread */
	int calls_fd;                    /* -1: none was wanted yet */
	unsigned calls_count;
	struct {
		void (*function)(void *arg);
		void *arg;
	} calls[CALLS_MAX];
};

static struct virtio_fs *fs_of(struct virtio_device *device)
{
	return (struct virtio_fs *)device;
}

static uint32_t handle_request(struct virtio_fs *fs, struct fs_worker *worker, const struct virtq_chain *chain)
{
	struct fs_segments in = { virtq_chain_readable(chain), chain->readable_count, chain->readable_length };
	struct fs_segments out = { virtq_chain_writable(chain), chain->writable_count, chain->writable_length };

	atomic_fetch_add_explicit(&fs->device.requests, 1, memory_order_relaxed);
	return fs_worker_handle(worker, in, out);
}

/* --- the threads ------------------------------------------------------------------------------------------------- */

static int start_worker_locked(struct virtio_fs *fs);

/* There is more in the queue than this thread can do at once. */
static void share_work_locked(struct virtio_fs *fs)
{
	if (fs->idle)
		eventfd_write(fs->device.kick_fds[REQUEST_QUEUE], 1);
	else if (fs->started < fs->workers_max && start_worker_locked(fs))
		fs->workers_max = fs->started; /* logged; go on with those there are */
}

/* As virtqueue_pop: 1, 0, and -1 once if the driver broke the rules. */
static int pop_locked(struct virtio_fs *fs, unsigned index, struct virtq_chain *chain)
{
	struct virtqueue *queue = &fs->device.queues[index];

	if (!fs->active || fs->stopping || fs->failed || fs->held)
		return 0;

	int got = virtqueue_pop(queue, chain);

	fs->failed = got < 0;
	if (got <= 0)
		return got;
	fs->busy++;
	if (index == PRIORITY_QUEUE)
		return 1;
	if (!fs->forgets_looked_for) {
		virtqueue_disable_kick(&fs->device.queues[PRIORITY_QUEUE]);
		fs->forgets_looked_for = true;
	}
	/* Ask for the next kick at once: it is for another thread while this one works. */
	if (virtqueue_enable_kick(queue))
		share_work_locked(fs);
	return 1;
}

/* The next chain of either queue, requests first: somebody waits for them. */
static int take_locked(struct virtio_fs *fs, struct virtq_chain *chain, unsigned *index)
{
	*index = REQUEST_QUEUE;
	int got = pop_locked(fs, REQUEST_QUEUE, chain);
	if (got)
		return got;
	*index = PRIORITY_QUEUE;
	return pop_locked(fs, PRIORITY_QUEUE, chain);
}

/* True if the driver wants to hear of what was given back. */
static bool should_tell_locked(struct virtio_fs *fs)
{
	bool wants = false;

	for (unsigned i = 0; i < QUEUES; i++)
		wants = virtqueue_should_signal(&fs->device.queues[i]) || wants;
	fs->untold = 0;
	return wants;
}

static void give_back_locked(struct virtio_fs *fs, unsigned index, const struct virtq_chain *chain, uint32_t written)
{
	virtqueue_push(&fs->device.queues[index], chain->head, written);
	if (--fs->busy == 0)
		pthread_cond_broadcast(&fs->quiet);
	fs->untold++;
}

/* The transport has one interrupt, at which the driver looks at every queue. */
static void tell(struct virtio_fs *fs)
{
	fs->device.signal_queue(&fs->device, REQUEST_QUEUE);
}

/* Serves both queues until they are empty. */
static void serve(struct virtio_fs *fs, struct fs_worker *worker)
{
	struct virtq_chain chain;
	unsigned index;
	int got;

	pthread_mutex_lock(&fs->lock);
	while ((got = take_locked(fs, &chain, &index)) > 0) {
		pthread_mutex_unlock(&fs->lock);

		uint32_t written = handle_request(fs, worker, &chain);

		pthread_mutex_lock(&fs->lock);
		give_back_locked(fs, index, &chain, written);
		if ((worker->is_awaited || fs->untold >= UNTOLD_MAX) && should_tell_locked(fs)) {
			pthread_mutex_unlock(&fs->lock);
			tell(fs);
			pthread_mutex_lock(&fs->lock);
		}
	}
	pthread_mutex_unlock(&fs->lock);
	if (got < 0)
		fs->device.fail(&fs->device, fs->device.queues[index].why);
}

/* No request came for a while: tells the driver what it was not told, and asks for kicks again. */
static void settle(struct virtio_fs *fs, struct fs_worker *worker)
{
	pthread_mutex_lock(&fs->lock);
	bool usable = fs->active && !fs->failed;
	bool missed = false;
	if (fs->forgets_looked_for && usable)
		missed = virtqueue_enable_kick(&fs->device.queues[PRIORITY_QUEUE]);
	fs->forgets_looked_for = false;
	bool wants = usable && should_tell_locked(fs);
	pthread_mutex_unlock(&fs->lock);
	if (wants)
		tell(fs);
	if (missed)
		serve(fs, worker);
}

/* How long to wait for a kick, in milliseconds; -1: until there is one. */
static int begin_idling(struct virtio_fs *fs)
{
	int timeout = -1;

	pthread_mutex_lock(&fs->lock);
	fs->idle++;
	if ((fs->untold || fs->forgets_looked_for) && !fs->lingering) {
		fs->lingering = true;
		timeout = LINGER_MS;
	}
	pthread_mutex_unlock(&fs->lock);
	return timeout;
}

static void end_idling(struct virtio_fs *fs, bool was_lingering)
{
	pthread_mutex_lock(&fs->lock);
	fs->idle--;
	if (was_lingering)
		fs->lingering = false;
	pthread_mutex_unlock(&fs->lock);
}

/* What others want done on such a thread (virtio_fs_call). */
static void make_calls(struct virtio_fs *fs)
{
	pthread_mutex_lock(&fs->lock);
	while (fs->calls_count) {
		void (*function)(void *arg) = fs->calls[--fs->calls_count].function;
		void *arg = fs->calls[fs->calls_count].arg;

		pthread_mutex_unlock(&fs->lock);
		function(arg);
		pthread_mutex_lock(&fs->lock);
	}
	pthread_mutex_unlock(&fs->lock);
}

/* In the first thread; the others inherit. */
static int confine_once(struct virtio_fs *fs, struct err *err)
{
	int (*confine)(struct err * err);

	pthread_mutex_lock(&fs->lock);
	confine = fs->confine;
	fs->confine = NULL;
	pthread_mutex_unlock(&fs->lock);
	return confine ? confine(err) : 0;
}

static void *run_worker(void *arg)
{
	struct virtio_fs *fs = arg;
	struct fs_worker worker;
	struct err err = ERR_INIT;
	struct epoll_event event;

	prctl(PR_SET_NAME, "bulkhead-file");
	if (fs_worker_init(&worker, fs->server, &err) || confine_once(fs, &err)) {
		log_error("%s", err.text);
		fs->device.fail(&fs->device, "a file thread could not start");
		fs_worker_fini(&worker);
		return NULL;
	}
	/* Made because there was work to do. */
	serve(fs, &worker);
	for (;;) {
		int timeout = begin_idling(fs);
		int ready = epoll_wait(fs->epoll_fd, &event, 1, timeout);
		end_idling(fs, timeout >= 0);
		if (ready == 1 && event.data.u32 == STOP)
			break;
		if (ready == 1 && event.data.u32 == CALLS)
			make_calls(fs);
		if (ready == 1)
			serve(fs, &worker);
		else if (ready == 0)
			settle(fs, &worker);
	}
	fs_worker_fini(&worker);
	return NULL;
}

static int start_worker_locked(struct virtio_fs *fs)
{
	pthread_attr_t attr;
	sigset_t all, before;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	/* Signals are for other threads; and SIGXFSZ, blocked, leaves EFBIG as the answer to the guest's write. */
	sigfillset(&all);
	sigdelset(&all, SIGBUS); /* fs_window.h */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&fs->threads[fs->started], &attr, run_worker, fs);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (error) {
		log_error("virtio-fs: cannot start a file thread: %s", strerror(error));
		errno = error;
		return -1;
	}
	fs->started++;
	return 0;
}

static int watch_locked(struct virtio_fs *fs)
{
	for (unsigned i = 0; i < QUEUES && !fs->kicks_watched; i++) {
		struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u32 = i };

		if (epoll_ctl(fs->epoll_fd, EPOLL_CTL_ADD, fs->device.kick_fds[i], &event))
			return -1;
	}
	fs->kicks_watched = true;
	return 0;
}

static int start_locked(struct virtio_fs *fs)
{
	return watch_locked(fs) || (!fs->started && start_worker_locked(fs)) ? -1 : 0;
}

int virtio_fs_start(struct virtio_device *device, int (*confine)(struct err *err), struct err *err)
{
	struct virtio_fs *fs = fs_of(device);

	pthread_mutex_lock(&fs->lock);
	fs->confine = confine;
	int result = start_locked(fs);
	pthread_mutex_unlock(&fs->lock);
	return result ? err_set_errno(err, "virtio-fs: cannot start its threads") : 0;
}

static int watch_calls_locked(struct virtio_fs *fs)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u32 = CALLS };

	if (fs->calls_fd >= 0)
		return 0;
	fs->calls_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return fs->calls_fd < 0 ? -1 : epoll_ctl(fs->epoll_fd, EPOLL_CTL_ADD, fs->calls_fd, &event);
}

int virtio_fs_call(struct virtio_device *device, void (*function)(void *arg), void *arg, struct err *err)
{
	struct virtio_fs *fs = fs_of(device);
	int result = 0;

	pthread_mutex_lock(&fs->lock);
	if (fs->calls_count == CALLS_MAX) {
		result = err_set(err, EAGAIN, "virtio-fs: its threads are busy");
	} else if (watch_calls_locked(fs)) {
		result = err_set_errno(err, "virtio-fs: cannot call its threads");
	} else {
		fs->calls[fs->calls_count].function = function;
		fs->calls[fs->calls_count++].arg = arg;
		eventfd_write(fs->calls_fd, 1);
	}
	pthread_mutex_unlock(&fs->lock);
	return result;
}

/* --- the device -------------------------------------------------------------------------------------------------- */

static void activate(struct virtio_device *device)
{
	struct virtio_fs *fs = fs_of(device);

	pthread_mutex_lock(&fs->lock);
	fs->active = true;
	fs->failed = start_locked(fs) != 0;
	bool failed = fs->failed;
	pthread_mutex_unlock(&fs->lock);
	if (failed)
		device->fail(device, "no file thread could be started");
}

static void reset(struct virtio_device *device)
{
	struct virtio_fs *fs = fs_of(device);

	pthread_mutex_lock(&fs->lock);
	fs->active = false;
	while (fs->busy)
		pthread_cond_wait(&fs->quiet, &fs->lock);
	fs->untold = 0;
	fs->forgets_looked_for = false;
	pthread_mutex_unlock(&fs->lock);
	/* No request is under way any more, and none can be taken. */
	fs_server_reset(fs->server);
}

static void config_read(struct virtio_device *device, size_t offset, void *out, size_t length)
{
	memcpy(out, (const uint8_t *)&fs_of(device)->config + offset, length);
}

static void stop_threads(struct virtio_fs *fs)
{
	pthread_mutex_lock(&fs->lock);
	fs->stopping = true;
	unsigned started = fs->started;
	fs->workers_max = started;
	pthread_mutex_unlock(&fs->lock);
	if (started)
		eventfd_write(fs->stop_fd, 1);
	for (unsigned i = 0; i < started; i++)
		pthread_join(fs->threads[i], NULL);
}

static void destroy(struct virtio_device *device)
{
	struct virtio_fs *fs = fs_of(device);

	stop_threads(fs);
	close_fd(&fs->epoll_fd);
	close_fd(&fs->stop_fd);
	close_fd(&fs->calls_fd);
	fs_server_destroy(fs->server);
	pthread_cond_destroy(&fs->quiet);
	pthread_mutex_destroy(&fs->lock);
	virtio_device_fini(device);
	free(fs);
}

static const struct virtio_device_ops virtio_fs_ops = {
	.name = "fs",
	.device_id = VIRTIO_ID_FS,
	.queue_size = QUEUE_SIZE,
	.activate = activate,
	.reset = reset,
	.config_size = sizeof(struct virtio_fs_config_space),
	.config_read = config_read,
	.destroy = destroy,
};

static int set_up(struct virtio_fs *fs, int proc_fd, struct err *err)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = STOP };

	fs->server = fs_server_create(fs_limits_take(), proc_fd, err);
	if (!fs->server)
		return -1;
	fs->server->refused = &fs->device.refused;
	fs->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	fs->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (fs->epoll_fd < 0 || fs->stop_fd < 0 || epoll_ctl(fs->epoll_fd, EPOLL_CTL_ADD, fs->stop_fd, &event))
		return err_set_errno(err, "virtio-fs: cannot make its descriptors");
	return 0;
}

struct virtio_device *virtio_fs_create(const char *tag, unsigned workers, const struct fs_caching *caching, int proc_fd,
				       struct err *err)
{
	size_t length = strlen(tag);

	if (length == 0 || length > TAG_SIZE || strchr(tag, '\n')) {
		close_fd(&proc_fd);
		err_set(err, EINVAL, "virtio-fs: the tag \"%.80s\" is not 1 to %d bytes of one line", tag, TAG_SIZE);
		return NULL;
	}

	struct virtio_fs *fs = calloc(1, sizeof *fs);

	if (!fs) {
		close_fd(&proc_fd);
		err_set(err, ENOMEM, "virtio-fs: out of memory");
		return NULL;
	}
	virtio_device_init(&fs->device, &virtio_fs_ops, QUEUES);
	fs->device.own_kicks = true;
	fs->device.own_calls = true; /* an interrupt for nearly every request: each would cost two exits more */
	pthread_mutex_init(&fs->lock, NULL);
	pthread_cond_init(&fs->quiet, NULL);
	memcpy(fs->config.tag, tag, length);
	fs->config.request_queues = 1;
	fs->workers_max = workers < 1 ? 1 : workers > VIRTIO_FS_WORKERS_MAX ? VIRTIO_FS_WORKERS_MAX : workers;
	fs->epoll_fd = fs->stop_fd = fs->calls_fd = -1;
	if (set_up(fs, proc_fd, err)) {
		destroy(&fs->device);
		return NULL;
	}
	fs->server->caching = *caching;
	return &fs->device;
}

void virtio_fs_set_window(struct virtio_device *device, struct fs_window *window, uint64_t address)
{
	fs_server_set_window(fs_of(device)->server, window);
	device->shared.address = address;
	device->shared.size = window->size;
}

int virtio_fs_add_share(struct virtio_device *device, const char *name, int fd, bool read_only, struct err *err)
{
	return fs_shares_add(&fs_of(device)->server->shares, name, fd, read_only, err);
}

int virtio_fs_remove_share(struct virtio_device *device, const char *name, struct err *err)
{
	return fs_shares_remove(&fs_of(device)->server->shares, name, err);
}

/* --- a snapshot -------------------------------------------------------------------------------------------------- */

static bool is_quiet_locked(const struct virtio_fs *fs)
{
	return !fs->busy && !fs->untold && !fs->forgets_looked_for && !fs->lingering;
}

/*
 * The last thread to be done lingers for LINGER_MS and settles; its end is not signalled, so this looks now and then.
 * Then requests are held: a thread may be on its way, woken by the last kick before the vCPUs stood still.
 */
static bool hold_when_quiet(struct virtio_fs *fs)
{
	enum { LOOKS = 400, LOOK_NS = 5000000 };
	bool quiet = false;

	pthread_mutex_lock(&fs->lock);
	for (unsigned i = 0; i < LOOKS && !(quiet = is_quiet_locked(fs)); i++) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += LOOK_NS;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&fs->quiet, &fs->lock, &until);
	}
	fs->held = quiet;
	pthread_mutex_unlock(&fs->lock);
	return quiet;
}

int virtio_fs_save(struct virtio_device *device, bool untouched, struct fs_saved *out, struct err *err)
{
	struct virtio_fs *fs = fs_of(device);
	struct fs_server *server = fs->server;

	if (!hold_when_quiet(fs))
		return err_set(err, EBUSY, "virtio-fs: a request is still under way");
	if (untouched && (fs_nodes_count(&server->nodes) != 1 || fs_handles_count(&server->handles) != 0))
		return err_set(err, EBUSY, "virtio-fs: the guest has looked at files");
	*out = (struct fs_saved){
		.minor = atomic_load(&server->minor),
		.openless = atomic_load(&server->openless),
		.write_back = atomic_load(&server->write_back),
		.maps = atomic_load(&server->maps),
	};
	return 0;
}

void virtio_fs_go_on(struct virtio_device *device)
{
	struct virtio_fs *fs = fs_of(device);

	pthread_mutex_lock(&fs->lock);
	/* Kicks that came meanwhile woke threads that took nothing. */
	for (unsigned i = 0; fs->held && fs->active && i < QUEUES; i++)
		eventfd_write(device->kick_fds[i], 1);
	fs->held = false;
	pthread_mutex_unlock(&fs->lock);
}

int virtio_fs_open_pagemap(struct virtio_device *device)
{
	return openat(fs_of(device)->server->proc_fd, "../pagemap", O_RDONLY | O_CLOEXEC);
}

int virtio_fs_save_tables(struct virtio_device *device, struct snapshot_writer *writer, int fd, uint64_t *end,
			  struct err *err)
{
	return fs_tables_save(fs_of(device)->server, writer, fd, end, err);
}

int virtio_fs_restore_tables(struct virtio_device *device, const struct snapshot *snapshot, int fd,
			     bool changes_accepted, struct err *err)
{
	return fs_tables_restore(fs_of(device)->server, snapshot, fd, changes_accepted, err);
}

int virtio_fs_restore(struct virtio_device *device, const struct fs_saved *saved, struct err *err)
{
	struct fs_server *server = fs_of(device)->server;

	/* What INIT could have led to, and nothing else. */
	if (saved->minor && (saved->minor < FS_FUSE_MINOR_MIN || saved->minor > FS_FUSE_MINOR))
		return err_set(err, EBADMSG, "virtio-fs: the saved protocol version %u is none", saved->minor);
	if (saved->write_back && !server->caching.write_back)
		return err_set(err, EBADMSG, "virtio-fs: the saved guest writes late, which is not wanted here");
	if (saved->maps && !server->window)
		return err_set(err, EBADMSG, "virtio-fs: the saved guest has a window for files, which is not here");
	/* Agreed upon when there was no share yet; but the guest does without only when its first OPEN is refused. */
	atomic_store(&server->openless, saved->openless && fs_shares_open_plainly(&server->shares));
	atomic_store(&server->write_back, saved->write_back != 0);
	atomic_store(&server->maps, saved->maps != 0);
	atomic_store(&server->minor, saved->minor);
	return 0;
}
