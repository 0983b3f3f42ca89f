/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/template.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/fd_stat.h"
#include "vmm/bus.h"
#include "vmm/guest_memory.h"
#include "vmm/kvm.h"
#include "vmm/nets.h"
#include "vmm/sandbox.h"
#include "vmm/snapshot_memory.h"
#include "vmm/vcpu.h"
#include "vmm/virtio_fs.h"
#include "vmm/virtio_state.h"
#include "vmm/virtio_vsock.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STACK_SIZE = 256 << 10 };

/* --- saving ------------------------------------------------------------------------------------------------ */

enum saver_state { STARTING, IDLE, WANTED, DONE, ENDING, ENDED };

struct template_saver {
	struct template_parts parts;
	int (*confine)(struct err *err);
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum saver_state state; /* under lock; the rest is the thread's while it is WANTED */
	int memory_fd, state_fd;
	bool is_checkpoint;
	int result;
	struct err why;
};

/* With what a container has of it, and what is behind the memory in its file. */
static int save_checkpoint(const struct template_parts *parts, int memory_fd, struct snapshot_writer *writer,
			   struct err *err)
{
	uint64_t end = parts->memory->size;
	uint32_t *serial = snapshot_add(writer, SNAPSHOT_VSOCK, 0, sizeof *serial);

	for (unsigned i = 0; i < parts->bus->count; i++)
		if (parts->bus->devices[i].device->ops->device_id == VIRTIO_ID_BLOCK)
			return err_set(err, ENOTSUP, "a virtual machine with a disk cannot be checkpointed");
	if (!serial)
		return err_set(err, ENOMEM, "out of memory");
	*serial = virtio_vsock_serial(parts->vsock);
	return nets_save(parts->nets, writer, err) || virtio_fs_save_tables(parts->fs, writer, memory_fd, &end, err)
		       ? -1
		       : 0;
}

static int save_devices(const struct template_parts *parts, bool is_checkpoint, struct snapshot_writer *writer,
			struct err *err)
{
	struct sandbox_saved *sandbox;
	struct fs_saved *fs;

	/* First of all: its threads have settled then. */
	fs = snapshot_add(writer, SNAPSHOT_FS, 0, sizeof *fs);
	if (!fs)
		return err_set(err, ENOMEM, "out of memory");
	if (virtio_fs_save(parts->fs, !is_checkpoint, fs, err))
		return -1;

	for (unsigned i = 0; i < parts->bus->count; i++) {
		struct virtio_saved *device = snapshot_add(writer, SNAPSHOT_DEVICE, i, sizeof *device);

		if (!device)
			return err_set(err, ENOMEM, "out of memory");
		if (virtio_state_save(&parts->bus->devices[i], device, err))
			return -1;
	}
	sandbox = snapshot_add(writer, SNAPSHOT_SANDBOX, 0, sizeof *sandbox);
	if (sandbox)
		sandbox_save(parts->sandbox, sandbox);
	return sandbox ? 0 : err_set(err, ENOMEM, "out of memory");
}

static int save(const struct template_saver *saver, struct snapshot_writer *writer, struct err *err)
{
	const struct template_parts *parts = &saver->parts;
	int memory_fd = saver->memory_fd;
	/* Not every user may open it. */
	auto_fd int pagemap = virtio_fs_open_pagemap(parts->fs);

	struct snapshot_machine *machine = snapshot_add(writer, SNAPSHOT_MACHINE, 0, sizeof *machine);

	if (!machine)
		return err_set(err, ENOMEM, "out of memory");
	*machine = (struct snapshot_machine){
		.memory_size = parts->memory->size,
		.processor = vcpus_processor(parts->vcpus),
		.vcpus = vcpus_count(parts->vcpus),
		.devices = parts->bus->count,
		.window_address = parts->fs->shared.address,
		.window_size = parts->fs->shared.size,
	};
	/* Devices come first: the file system's threads have settled then, and memory does not change any more. */
	if (save_devices(parts, saver->is_checkpoint, writer, err) || kvm_save(parts->kvm, writer, err) ||
	    vcpus_save(parts->vcpus, writer, err) ||
	    (saver->is_checkpoint && save_checkpoint(parts, memory_fd, writer, err)) ||
	    snapshot_save_memory(parts->memory, pagemap, memory_fd, saver->is_checkpoint, writer, err))
		return -1;
	return snapshot_finish(writer, err);
}

static int save_to_files(const struct template_saver *saver, struct err *err)
{
	struct snapshot_writer writer = { 0 };
	int result = save(saver, &writer, err);

	virtio_fs_go_on(saver->parts.fs);

	for (size_t done = 0; !result && done < writer.length;) {
		ssize_t n = write(saver->state_fd, writer.data + done, writer.length - done);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			result = err_set_errno(err, "cannot write the machine's state");
	}
	free(writer.data);
	return result;
}

static void set_state(struct template_saver *saver, enum saver_state state)
{
	saver->state = state;
	pthread_cond_broadcast(&saver->changed);
}

static void *saver_main(void *arg)
{
	struct template_saver *saver = arg;
	prctl(PR_SET_NAME, "bulkhead-save");
	int confined = saver->confine ? saver->confine(&saver->why) : 0;

	pthread_mutex_lock(&saver->lock);
	saver->result = confined;
	set_state(saver, confined ? ENDING : IDLE);
	while (saver->state != ENDING) {
		if (saver->state != WANTED) {
			pthread_cond_wait(&saver->changed, &saver->lock);
			continue;
		}
		pthread_mutex_unlock(&saver->lock);
		saver->result = save_to_files(saver, &saver->why);
		pthread_mutex_lock(&saver->lock);
		set_state(saver, DONE);
	}
	set_state(saver, ENDED);
	pthread_mutex_unlock(&saver->lock);
	return NULL;
}

struct template_saver *template_saver_create(const struct template_parts *parts, int (*confine)(struct err *err),
					     struct err *err)
{
	struct template_saver *saver = calloc(1, sizeof *saver);
	pthread_attr_t attributes;
	sigset_t all, before;
	int code;

	if (!saver) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	*saver = (struct template_saver){ .parts = *parts, .confine = confine };
	pthread_mutex_init(&saver->lock, NULL);
	pthread_cond_init(&saver->changed, NULL);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&saver->thread, &attributes, saver_main, saver);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (code) {
		err_set(err, code, "cannot start a thread: %s", strerror(code));
		template_saver_destroy(saver);
		return NULL;
	}
	saver->has_thread = true;
	/* It has rights, so no guest is to run before it is confined. */
	pthread_mutex_lock(&saver->lock);
	while (saver->state == STARTING)
		pthread_cond_wait(&saver->changed, &saver->lock);
	pthread_mutex_unlock(&saver->lock);
	if (saver->result) {
		*err = saver->why;
		template_saver_destroy(saver);
		return NULL;
	}
	return saver;
}

int template_saver_run(struct template_saver *saver, int memory_fd, int state_fd, bool is_checkpoint, struct err *err)
{
	pthread_mutex_lock(&saver->lock);
	saver->memory_fd = memory_fd;
	saver->state_fd = state_fd;
	saver->is_checkpoint = is_checkpoint;
	set_state(saver, WANTED);
	while (saver->state == WANTED)
		pthread_cond_wait(&saver->changed, &saver->lock);
	pthread_mutex_unlock(&saver->lock);
	if (saver->result)
		*err = saver->why;
	return saver->result;
}

void template_saver_destroy(struct template_saver *saver)
{
	if (!saver)
		return;
	if (saver->has_thread) {
		pthread_mutex_lock(&saver->lock);
		set_state(saver, ENDING);
		pthread_mutex_unlock(&saver->lock);
		pthread_join(saver->thread, NULL);
	}
	pthread_cond_destroy(&saver->changed);
	pthread_mutex_destroy(&saver->lock);
	free(saver);
}

/* --- restoring --------------------------------------------------------------------------------------------- */

static int read_state(struct template *saved, int fd, struct err *err)
{
	struct stat status;
	size_t length;

	if (fd_stat(fd, &status) || !S_ISREG(status.st_mode) || status.st_size > SNAPSHOT_SIZE_MAX)
		return err_set(err, EBADMSG, "the state is no file, or too large");
	length = (size_t)status.st_size;
	saved->data = malloc(length + 1);
	if (!saved->data)
		return err_set(err, ENOMEM, "out of memory");
	if (pread(fd, saved->data, length, 0) != (ssize_t)length)
		return err_set(err, EIO, "cannot read the state");
	return snapshot_open(&saved->snapshot, saved->data, length, err);
}

int template_open(struct template *saved, int state_fd, struct err *err)
{
	*saved = (struct template){ 0 };
	if (!read_state(saved, state_fd, err))
		saved->machine = snapshot_find(&saved->snapshot, SNAPSHOT_MACHINE, 0, sizeof *saved->machine, err);
	if (saved->machine)
		return 0;
	template_close(saved);
	return -1;
}

void template_close(struct template *saved)
{
	free(saved->data);
	*saved = (struct template){ 0 };
}

bool template_is_checkpoint(const struct template *saved)
{
	struct err ignored = ERR_INIT;
	size_t count;

	return snapshot_find_array(&saved->snapshot, SNAPSHOT_SUMS, 0, sizeof(uint64_t), SNAPSHOT_EXTENTS_MAX, &count,
				   &ignored);
}

uint32_t template_device(const struct template *saved, unsigned place)
{
	struct err ignored = ERR_INIT;
	const struct virtio_saved *device =
		snapshot_find(&saved->snapshot, SNAPSHOT_DEVICE, place, sizeof *device, &ignored);

	return device ? device->device_id : 0;
}

int template_restore_memory(const struct template *saved, struct guest_memory *memory, uint64_t size, int memory_fd,
			    bool checked, struct err *err)
{
	if (saved->machine->memory_size != size)
		return err_set(err, EBADMSG, "the saved machine has %llu MiB of memory",
			       (unsigned long long)(saved->machine->memory_size >> 20));
	if (snapshot_map_memory(memory, size, memory_fd, template_is_checkpoint(saved), &saved->snapshot, err))
		return -1;
	/* Now: KVM writes to it with the first register that it is given. */
	return checked ? snapshot_check_memory(memory, &saved->snapshot, err) : 0;
}

int template_restore_processors(const struct template *saved, const struct kvm *kvm, struct vcpus *vcpus,
				struct err *err)
{
	if (saved->machine->vcpus != vcpus_count(vcpus))
		return err_set(err, EBADMSG, "the saved machine has %u vCPUs", saved->machine->vcpus);
	if (saved->machine->processor != vcpus_processor(vcpus))
		return err_set(err, EBADMSG, "the saved machine has another processor");
	return kvm_restore(kvm, &saved->snapshot, err) || vcpus_restore(vcpus, &saved->snapshot, err) ? -1 : 0;
}

int template_restore_devices(const struct template *saved, const struct template_parts *parts, struct err *err)
{
	const struct sandbox_saved *sandbox =
		snapshot_find(&saved->snapshot, SNAPSHOT_SANDBOX, 0, sizeof *sandbox, err);
	const struct fs_saved *fs = snapshot_find(&saved->snapshot, SNAPSHOT_FS, 0, sizeof *fs, err);

	if (!sandbox || !fs)
		return -1;
	if (saved->machine->devices != parts->bus->count)
		return err_set(err, EBADMSG, "the saved machine has %u devices", saved->machine->devices);
	for (unsigned i = 0; i < parts->bus->count; i++) {
		const struct virtio_saved *device =
			snapshot_find(&saved->snapshot, SNAPSHOT_DEVICE, i, sizeof *device, err);

		if (!device || virtio_state_restore(&parts->bus->devices[i], device, err))
			return -1;
	}
	return virtio_fs_restore(parts->fs, fs, err) || sandbox_restore(parts->sandbox, sandbox, err) ? -1 : 0;
}

int template_restore_files(const struct template *saved, const struct template_parts *parts, int memory_fd,
			   bool changes_accepted, struct err *err)
{
	const uint32_t *serial = snapshot_find(&saved->snapshot, SNAPSHOT_VSOCK, 0, sizeof *serial, err);

	if (!serial)
		return -1;
	virtio_vsock_set_serial(parts->vsock, *serial);
	return virtio_fs_restore_tables(parts->fs, &saved->snapshot, memory_fd, changes_accepted, err);
}

/* An interrupt that was on its way is in no saved state. One too many makes a driver look for nothing. */
static void interrupt_all(const struct bus *bus)
{
	for (unsigned i = 0; i < bus->count; i++) {
		struct virtio_device *device = bus->devices[i].device;

		if (device->active)
			device->signal_queue(device, 0);
	}
}

int template_continue(const struct template_parts *parts, bool is_checkpoint, struct err *err)
{
	for (unsigned i = 0; i < parts->bus->count; i++)
		virtio_state_continue(&parts->bus->devices[i]);
	if (is_checkpoint) {
		if (virtio_vsock_tell_reset(parts->vsock, err))
			return -1;
		interrupt_all(parts->bus);
	}
	return sandbox_renew(parts->sandbox, err);
}
