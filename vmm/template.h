/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.h - a stopped VM, to two files and back: its memory (snapshot_memory.h), and the rest (snapshot.h).
 *
 * A template is a VM whose agent is ready and that has nothing of a container yet. A checkpoint is one with a container
 * in it: files that the guest knows (fs_tables.h) and network interfaces (nets.h) are saved as well, and checksums of
 * the memory, since it is kept and carried about.
 *
 * Saving is for a thread of its own in the jail (jail.h, JAIL_SAVE): it makes system calls that no other thread has a
 * reason for. It waits until it is wanted; nobody else touches the machine meanwhile.
 *
 * Restoring has two steps, before and after there are devices, since all that KVM may refuse is in the first: if that
 * fails, nothing is left of it and the caller starts a VM cold.
 */
#ifndef BULKHEAD_TEMPLATE_H
#define BULKHEAD_TEMPLATE_H

#include "vmm/snapshot.h"

#include <stdbool.h>

struct bus;
struct err;
struct guest_memory;
struct kvm;
struct nets;
struct sandbox;
struct template_saver;
struct vcpus;
struct virtio_device;

/* The machine as far as it matters here; all of it the caller's. */
struct template_parts {
	struct guest_memory *memory;
	struct kvm *kvm;
	struct vcpus *vcpus;
	struct bus *bus;
	struct virtio_device *fs, *vsock; /* on the bus */
	struct nets *nets;
	struct sandbox *sandbox;
};

/* --- saving ------------------------------------------------------------------------------------------------ */

/* Starts the thread and waits until it has called `confine`. NULL with the error set, also of that. */
struct template_saver *template_saver_create(const struct template_parts *parts, int (*confine)(struct err *err),
					     struct err *err);

/* Saves to two empty files, which stay the caller's, while the caller waits. The vCPUs are out of the guest. */
int template_saver_run(struct template_saver *saver, int memory_fd, int state_fd, bool is_checkpoint, struct err *err);
void template_saver_destroy(struct template_saver *saver); /* NULL is fine */

/* --- restoring --------------------------------------------------------------------------------------------- */

struct template
{
	struct snapshot snapshot;
	void *data;
	const struct snapshot_machine *machine; /* in data */
};

/* Reads and checks the state. Undo with template_close. */
int template_open(struct template *saved, int state_fd, struct err *err);
void template_close(struct template *saved);

/* Whether it has a container in it. */
bool template_is_checkpoint(const struct template *saved);

/* Memory. `size` is what the machine is to have; `checked`: its checksums are looked at. */
int template_restore_memory(const struct template *saved, struct guest_memory *memory, uint64_t size, int memory_fd,
			    bool checked, struct err *err);

/* The VM's clock and interrupt controllers, and its vCPUs, which are new. */
int template_restore_processors(const struct template *saved, const struct kvm *kvm, struct vcpus *vcpus,
				struct err *err);

/* The device at this place on the bus, as virtio 1.2 section 5 numbers them; 0: there is none. */
uint32_t template_device(const struct template *saved, unsigned place);

int template_restore_devices(const struct template *saved, const struct template_parts *parts, struct err *err);

/* Of a checkpoint, when the shares are there: the files and connections that the guest knows. `changes_accepted`:
 * fs_tables.h. */
int template_restore_files(const struct template *saved, const struct template_parts *parts, int memory_fd,
			   bool changes_accepted, struct err *err);

/*
 * Gives the guest its new identity and lets the devices go on: in the jail, before vCPUs run. The guest of a checkpoint
 * is told that its connections are gone.
 */
int template_continue(const struct template_parts *parts, bool is_checkpoint, struct err *err);

#endif
