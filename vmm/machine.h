/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.h - a virtual machine, put together: memory, kernel, devices, vCPUs, and the loop that serves them.
 *
 * Everything here is for the main thread, which is the loop's. What vCPU threads bring (register accesses, the end of
 * the guest) is handed to the loop through an eventfd.
 */
#ifndef BULKHEAD_MACHINE_H
#define BULKHEAD_MACHINE_H

#include "vmm/disks.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct fs_caching;
struct machine;

enum { MACHINE_SHARES_MAX = 256 };

struct machine_share {
	const char *name;
	int fd;
	bool read_only;
};

struct machine_disk {
	const char *id;
	int fd;
	uint64_t packed; /* struct vmm_disk */
};

/* Descriptors of -1 are not there; only kvm_fd, kernel_fd and vsock_fd must be. The machine takes those of shares,
 * disks and sockets. */
struct machine_config {
	int kvm_fd, kernel_fd, initrd_fd;
	int vsock_fd;   /* listening, for `CONNECT <port>` */
	int control_fd; /* listening (vmm_api.h) */
	int event_fd;   /* connected to the proxy (vmm_api.h); its end is ours */
	int proc_fd;    /* as jail_enter gives it */
	/* A template to begin with, if it is any good (template.h); else the VM boots. */
	int template_memory_fd, template_state_fd;
	int template_touched_fd; /* touched.h; may be -1 nevertheless */
	/* A checkpoint to continue, which has to be good. */
	int checkpoint_memory_fd, checkpoint_state_fd;
	bool checkpoint_is_trusted; /* just made by who passes it on: not read whole to be checked */
	bool file_changes_accepted; /* fs_tables.h */
	/* Two empty files: make a template. The VM ends when its agent is ready, and they are filled then. */
	int save_memory_fd, save_state_fd;
	unsigned memory_mib;
	unsigned max_memory_mib; /* what it may grow to; less: it cannot */
	bool huge_pages;         /* for all memory; not with a template, whose memory is its file's */
	unsigned vcpus;
	const char *cmdline;
	const struct fs_caching *file_cache; /* fs_server.h */
	unsigned dax_mib;                    /* size of the window for files (fs_window.h); 0: none */
	struct machine_share shares[MACHINE_SHARES_MAX];
	unsigned share_count;
	struct machine_disk disks[DISKS_MAX]; /* not with a template: they are not of its devices */
	unsigned disk_count;
};

struct machine *machine_create(const struct machine_config *config, struct err *err);
void machine_destroy(struct machine *machine); /* stops the vCPUs first; NULL is fine */

/* Closes the jail around this process, runs until the VM has ended, and tells the proxy why. 0: it ended by itself or
 * was asked to; -1 with the error set.
 */
int machine_run(struct machine *machine, struct err *err);

#endif
