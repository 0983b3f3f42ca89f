/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/template.h"

#include "common/auto.h"
#include "common/err.h"
#include "vmm/bus.h"
#include "vmm/guest_memory.h"
#include "vmm/kvm.h"
#include "vmm/sandbox.h"
#include "vmm/snapshot_memory.h"
#include "vmm/vcpu.h"
#include "vmm/virtio_fs.h"
#include "vmm/virtio_state.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- saving ------------------------------------------------------------------------------------------------ */

struct template_saver {
	struct template_parts parts;
	int memory_fd, state_fd;
	int (*confine)(struct err *err);
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool wanted, ended; /* under lock */
	int result;         /* and `why`: the thread's until it has ended */
	struct err why;
};

static int save_devices(const struct template_parts *parts, struct snapshot_writer *writer, struct err *err)
{
	struct sandbox_saved *sandbox;
	struct fs_saved *fs;

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
	fs = snapshot_add(writer, SNAPSHOT_FS, 0, sizeof *fs);
	return fs ? virtio_fs_save(parts->fs, fs, err) : err_set(err, ENOMEM, "out of memory");
}

static int save(const struct template_parts *parts, int memory_fd, struct snapshot_writer *writer, struct err *err)
{
	struct snapshot_machine *machine = snapshot_add(writer, SNAPSHOT_MACHINE, 0, sizeof *machine);

	if (!machine)
		return err_set(err, ENOMEM, "out of memory");
	*machine = (struct snapshot_machine){
		.memory_size = parts->memory->size,
		.processor = vcpus_processor(parts->vcpus),
		.vcpus = vcpus_count(parts->vcpus),
		.devices = parts->bus->count,
	};
	/* Devices come first: the file system's threads have settled then, and memory does not change any more. */
	if (save_devices(parts, writer, err) || kvm_save(parts->kvm, writer, err) ||
	    vcpus_save(parts->vcpus, writer, err) || snapshot_save_memory(parts->memory, memory_fd, writer, err))
		return -1;
	return snapshot_finish(writer, err);
}

static int save_to_files(const struct template_saver *saver, struct err *err)
{
	struct snapshot_writer writer = { 0 };
	int result = save(&saver->parts, saver->memory_fd, &writer, err);

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

static void *saver_main(void *arg)
{
	struct template_saver *saver = arg;
	int result = saver->confine ? saver->confine(&saver->why) : 0;
	bool wanted;

	pthread_mutex_lock(&saver->lock);
	while (!result && !saver->wanted && !saver->ended)
		pthread_cond_wait(&saver->changed, &saver->lock);
	wanted = saver->wanted;
	pthread_mutex_unlock(&saver->lock);
	if (!result && wanted)
		result = save_to_files(saver, &saver->why);
	saver->result = result;
	return NULL;
}

struct template_saver *template_saver_create(const struct template_parts *parts, int memory_fd, int state_fd,
					     int (*confine)(struct err *err), struct err *err)
{
	struct template_saver *saver = calloc(1, sizeof *saver);
	sigset_t all, before;
	int code;

	if (!saver) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	*saver = (struct template_saver){
		.parts = *parts, .memory_fd = memory_fd, .state_fd = state_fd, .confine = confine, .why = ERR_INIT
	};
	pthread_mutex_init(&saver->lock, NULL);
	pthread_cond_init(&saver->changed, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&saver->thread, NULL, saver_main, saver);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (code) {
		err_set(err, code, "cannot start a thread: %s", strerror(code));
		template_saver_destroy(saver);
		return NULL;
	}
	saver->has_thread = true;
	return saver;
}

static void end_thread(struct template_saver *saver, bool wanted)
{
	if (!saver->has_thread)
		return;
	pthread_mutex_lock(&saver->lock);
	saver->wanted = wanted;
	saver->ended = true;
	pthread_cond_broadcast(&saver->changed);
	pthread_mutex_unlock(&saver->lock);
	pthread_join(saver->thread, NULL);
	saver->has_thread = false;
}

int template_saver_run(struct template_saver *saver, struct err *err)
{
	end_thread(saver, true);
	if (saver->result)
		*err = saver->why;
	return saver->result;
}

void template_saver_destroy(struct template_saver *saver)
{
	if (!saver)
		return;
	end_thread(saver, false);
	pthread_cond_destroy(&saver->changed);
	pthread_mutex_destroy(&saver->lock);
	free(saver);
}

/* --- restoring --------------------------------------------------------------------------------------------- */

static int read_state(struct template *saved, int fd, struct err *err)
{
	struct stat status;
	size_t length;

	if (fstat(fd, &status) || !S_ISREG(status.st_mode) || status.st_size > SNAPSHOT_SIZE_MAX)
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

int template_restore_memory(const struct template *saved, struct guest_memory *memory, uint64_t size, int memory_fd,
			    struct err *err)
{
	if (saved->machine->memory_size != size)
		return err_set(err, EBADMSG, "the saved machine has %llu MiB of memory",
			       (unsigned long long)(saved->machine->memory_size >> 20));
	return snapshot_map_memory(memory, size, memory_fd, &saved->snapshot, err);
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

int template_continue(const struct template_parts *parts, struct err *err)
{
	for (unsigned i = 0; i < parts->bus->count; i++)
		virtio_state_continue(&parts->bus->devices[i]);
	return sandbox_renew(parts->sandbox, err);
}
